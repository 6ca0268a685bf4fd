//! `spin-double`: in the place of Spin, for suites.
//! May not hold what can be tested: the work is in the library.

fn main() -> std::process::ExitCode {
    doubles::spin::main(&std::env::args().skip(1).collect::<Vec<_>>())
}
