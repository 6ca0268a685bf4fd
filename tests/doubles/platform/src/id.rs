//! Identifiers made at random, and their shape.
//! May not be guessable: tokens are made here.

use std::fmt::Write as _;
use std::io::Read as _;

/// Bytes nobody can foresee.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .expect("a machine of the suites has /dev/urandom");
    bytes
}

/// A new UUID.
pub fn make() -> String {
    shape(&random::<16>())
}

/// The UUID that belongs to these bytes, always the same.
pub fn of(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(bytes);
    shape(digest.first_chunk().expect("a digest has 32 bytes"))
}

fn shape(bytes: &[u8; 16]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Whether a text has the shape of a UUID.
pub fn is(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_has_the_shape() {
        assert!(is(&make()) && is(&of(b"x")) && of(b"x") != of(b"y"));
        assert!(!is("short") && !is("11111111-2222-3333-4444-55555555555g"));
    }
}
