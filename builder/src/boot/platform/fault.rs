//! What can be made to go wrong on the simulated platform, by name.
//! May not make it happen: the platform does.

use std::str::FromStr;
use std::time::Duration;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The metadata service answers 500 for so long after it was first asked.
    Metadata500(Duration),
    /// The metadata document ends in the middle.
    MetadataTruncated,
    /// The BGP sessions of the device are never created.
    NoBgp,
    /// Blobs whose digest begins so have a wrong byte.
    Corrupt(String),
    /// Every blob comes at so many bytes per second.
    Slow(u64),
}

/// How the faults are written.
const WORDS: &str = "metadata-500=SECONDS, metadata-truncated, no-bgp, corrupt=DIGEST, slow=BYTES-PER-SECOND";

/// The end of a help text.
pub const HELP: &str = "\
Faults:
  metadata-500=SECONDS   metadata answers 500 for so long at first
  metadata-truncated     metadata ends in the middle
  no-bgp                 the BGP sessions are never created
  corrupt=DIGEST         files whose sha256 begins so have a wrong byte
  slow=BYTES-PER-SECOND  every file comes slowly";

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, value) = text.split_once('=').map_or((text, None), |(word, value)| (word, Some(value)));
        let number = || value.and_then(|value| value.parse::<u64>().ok()).filter(|number| *number > 0);
        match (word, value, number()) {
            ("metadata-500", _, Some(seconds)) => Ok(Self::Metadata500(Duration::from_secs(seconds))),
            ("slow", _, Some(rate)) => Ok(Self::Slow(rate)),
            ("corrupt", Some(digest), _) if is_beginning(digest) => Ok(Self::Corrupt(digest.to_owned())),
            ("metadata-truncated", None, _) => Ok(Self::MetadataTruncated),
            ("no-bgp", None, _) => Ok(Self::NoBgp),
            _ => Err(format!("not a fault; there are {WORDS}")),
        }
    }
}

/// Whether this can be how a digest begins.
fn is_beginning(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_by_name() {
        assert_eq!("metadata-500=120".parse(), Ok(Fault::Metadata500(Duration::from_mins(2))));
        assert_eq!("slow=65536".parse(), Ok(Fault::Slow(65536)));
        assert_eq!("corrupt=0f00".parse(), Ok(Fault::Corrupt("0f00".into())));
        assert_eq!("no-bgp".parse(), Ok(Fault::NoBgp));
        for word in WORDS.split(", ") {
            assert!(HELP.contains(&format!("  {word} ")), "{word} is not in the help");
        }
        for bad in
            ["metadata-500", "metadata-500=0", "no-bgp=1", "slow=fast", "corrupt", "corrupt=", "corrupt=xyz", "rain"]
        {
            assert!(bad.parse::<Fault>().is_err(), "{bad} was taken for a fault");
        }
    }
}
