//! Doubles of the platform's programs that cannot be had everywhere: they stand in for the real ones in suites, and say so.
//! May not be shipped, and no result of one may be reported as a result of the real one.

pub mod clock;
pub mod hippo;
pub mod hostile;
pub mod http;
pub mod id;
pub mod nomad;
pub mod spin;
mod tls;
pub mod traefik;

/// How every double says what it is.
pub fn banner(program: &str, instead_of: &str) -> String {
    format!("{program} (a double of {instead_of}, made for test suites; not {instead_of})")
}
