//! `nomad-double`: in the place of Nomad, for suites.
//! May not hold what can be tested: the work is in the library.

fn main() -> std::process::ExitCode {
    doubles::nomad::main(&std::env::args().skip(1).collect::<Vec<_>>())
}
