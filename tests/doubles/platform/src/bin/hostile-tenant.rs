//! `hostile-tenant`: what native code does that got out of WebAssembly, as a task of Nomad's. Tries what a tenant must not be able to, and says
//! of each attempt how it went: `ATTEMPT: refused (ERRNO)` or `ATTEMPT: done`.
//! May not be run anywhere but on a machine of the suites: it changes what it can.

fn main() {
    for line in doubles::hostile::run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        println!("{line}");
    }
    // The suite reads the log when this line is there.
    println!("that was all");
}
