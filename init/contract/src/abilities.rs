//! What an `anymetal-init` can read and do, as it says itself: `version --json` prints it, and the same bytes lie in the binary.
//! May not touch a binary: finding the record is a search over bytes that somebody else holds.

use serde::{Deserialize, Serialize};

/// The `kind` of the record.
pub const KIND: &str = "anymetal.abilities";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;
/// What stands right before the record in the binary. Written in two halves so that only an init, never a builder that looks for it,
/// carries the whole. The record is one line of JSON, ended by a line feed.
pub const MARK: [&str; 2] = ["anymetal-", "abilities-v1:"];

/// What one `anymetal-init` can read and do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The release: `0.1.0`.
    pub release: String,
    /// Versions of the plan it reads.
    pub plans: Vec<u32>,
    /// Phases it has work for.
    pub phases: Vec<String>,
    /// Platforms whose metadata it reads.
    pub platforms: Vec<String>,
    /// Archive formats it unpacks, `deb` among them when it installs pinned packages.
    pub formats: Vec<String>,
    /// Readiness it can wait for.
    pub ready: Vec<String>,
    /// Ways by which it takes secrets.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// Where it takes blobs from, when the plan says an order.
    #[serde(default)]
    pub supplies: Vec<String>,
    /// Versions of the release it reads.
    #[serde(default)]
    pub releases: Vec<u32>,
    /// Forms of signatures it checks a release by.
    #[serde(default)]
    pub signatures: Vec<String>,
}

/// The record's text within a binary, when it has one: what stands between [`MARK`] and the line feed.
pub fn record(binary: &[u8]) -> Option<&str> {
    let mark = MARK.concat().into_bytes();
    let start = binary.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let length = binary[start..].iter().take(4096).position(|byte| *byte == b'\n')?;
    std::str::from_utf8(&binary[start..start + length]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_found_between_mark_and_line_feed() {
        let binary = [b"\x7fELF\0\0".as_slice(), MARK.concat().as_bytes(), b"{\"a\":1}\n\0\0"].concat();
        assert_eq!(record(&binary), Some("{\"a\":1}"));
        assert_eq!(record(b"\x7fELF and nothing else"), None);
        assert_eq!(record(MARK.concat().as_bytes()), None);
    }
}
