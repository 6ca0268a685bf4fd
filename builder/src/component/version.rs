//! A version, and a range of them.
//! May not say what an author did wrong: `site::sets` does.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// A version: three numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Version(pub u32, pub u32, pub u32);

/// Some versions: those from `from` on, but not `to` or what comes after it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The first; all that went before too when it is not given.
    #[serde(default)]
    pub from: Option<Version>,
    /// The first that is no longer meant; none when it is not given.
    #[serde(default)]
    pub to: Option<Version>,
}

impl Range {
    /// Whether the version is one of them.
    pub fn holds(&self, version: Version) -> bool {
        self.from.is_none_or(|from| from <= version) && self.to.is_none_or(|to| version < to)
    }
}

/// A text that is not three numbers with dots between them, each without a zero in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAVersion(String);

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let number = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
            Some(part).filter(|_| plain).and_then(|part| part.parse().ok())
        };
        match text.split('.').map(number).collect::<Option<Vec<u32>>>().as_deref() {
            Some(&[major, minor, patch]) => Ok(Self(major, minor, patch)),
            _ => Err(NotAVersion(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = NotAVersion;

    fn try_from(text: String) -> Result<Self, NotAVersion> {
        text.parse()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl fmt::Display for NotAVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a version: three numbers with dots between them are", self.0)
    }
}

impl std::error::Error for NotAVersion {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_its_first_and_not_its_last() {
        let range = |from: Option<Version>, to: Option<Version>| Range { from, to };
        let (low, high) = (Version(1, 5, 0), Version(1, 5, 3));
        for (range, version, holds) in [
            (range(Some(low), Some(high)), Version(1, 4, 9), false),
            (range(Some(low), Some(high)), low, true),
            (range(Some(low), Some(high)), Version(1, 5, 2), true),
            (range(Some(low), Some(high)), high, false),
            (range(None, Some(high)), Version(0, 0, 0), true),
            (range(Some(low), None), Version(99, 0, 0), true),
            (Range::default(), Version(0, 0, 0), true),
        ] {
            assert_eq!(range.holds(version), holds, "{range:?} {version}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!("0.10.1".parse::<Version>().unwrap() > "0.9.0".parse().unwrap());
        for text in ["1.2", "1.2.3.4", "01.2.3", "v1.2.3", "1.2.x", "", "1..3"] {
            assert_eq!(text.parse::<Version>(), Err(NotAVersion(text.to_owned())));
        }
    }
}
