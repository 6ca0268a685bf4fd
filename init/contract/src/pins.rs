//! What user-data pins, in a file that a person, a shell and init can read: lines of words.
//! May not hold a secret: the file is everybody's to read.
//!
//! ```text
//! anymetal.pins 1
//! release <sha256> <bytes>
//! init <architecture> <sha256>
//! origin <URL>
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::Digest;
use crate::plan::Arch;
use crate::release::Pinned;

/// The first line.
const FIRST: &str = "anymetal.pins 1";

/// The digests and origins that a node starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pins {
    /// The release.
    pub release: Pinned,
    /// The init of each architecture.
    pub inits: BTreeMap<Arch, Digest>,
    /// Where both are, and all else: content-addressed origins, in order.
    pub origins: Vec<String>,
}

impl FromStr for Pins {
    type Err = String;

    /// Reads the file. Fails when a line is none of the known ones or there is not exactly one release; the error names the line.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(FIRST) {
            return Err(format!("its first line is not {FIRST:?}"));
        }
        let (mut release, mut inits, mut origins) = (None, BTreeMap::new(), Vec::new());
        for (at, line) in lines {
            let wrong = || format!("its line {} is no pin", at + 1);
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["release", sha256, size] if release.is_none() => {
                    let sha256 = sha256.parse().map_err(|_| wrong())?;
                    release = Some(Pinned { sha256, size: size.parse().map_err(|_| wrong())? });
                }
                ["init", arch, sha256] => {
                    let arch = Arch::named(arch).ok_or_else(wrong)?;
                    if inits.insert(arch, sha256.parse().map_err(|_| wrong())?).is_some() {
                        return Err(wrong());
                    }
                }
                ["origin", url] if !url.is_empty() => origins.push(url.to_owned()),
                _ => return Err(wrong()),
            }
        }
        Ok(Self { release: release.ok_or("it pins no release")?, inits, origins })
    }
}

impl fmt::Display for Pins {
    /// The file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST}\nrelease {} {}", self.release.sha256, self.release.size)?;
        self.inits.iter().try_for_each(|(arch, sha256)| writeln!(f, "init {arch} {sha256}"))?;
        self.origins.iter().try_for_each(|origin| writeln!(f, "origin {origin}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let digest = |byte| Digest::of([byte; 32]);
        let pins = Pins {
            release: Pinned { sha256: digest(1), size: 1234 },
            inits: BTreeMap::from([(Arch::Aarch64, digest(2)), (Arch::X86_64, digest(3))]),
            origins: vec!["http://a/$(id)".into(), "https://b".into()],
        };
        let text = pins.to_string();
        assert_eq!(
            text,
            format!(
                "anymetal.pins 1\nrelease {} 1234\ninit aarch64 {}\ninit x86_64 {}\norigin http://a/$(id)\norigin https://b\n",
                digest(1),
                digest(2),
                digest(3)
            )
        );
        assert_eq!(text.parse(), Ok(pins));
        let swapped = text.replace("anymetal.pins 1", "anymetal.pins 2");
        for (bad, why) in [
            (String::new(), "its first line is not \"anymetal.pins 1\""),
            (swapped, "its first line is not \"anymetal.pins 1\""),
            ("anymetal.pins 1\n".to_owned(), "it pins no release"),
            (text.replace("1234", "some"), "its line 2 is no pin"),
            (text.replace("init aarch64", "init x86_64"), "its line 4 is no pin"),
            (text.replace("init aarch64", "init riscv64"), "its line 3 is no pin"),
            (text.replace("origin https", "origin  https"), "its line 6 is no pin"),
            (text.clone() + "secret x\n", "its line 7 is no pin"),
            (text.clone() + &format!("release {} 1\n", digest(1)), "its line 7 is no pin"),
        ] {
            assert_eq!(bad.parse::<Pins>(), Err(why.to_owned()), "{bad}");
        }
    }
}
