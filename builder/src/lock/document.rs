//! The document: one form in memory, one canonical text, and a digest at its end by which a changed byte shows.
//! May not read or write a file, and may not judge whether it fits a site.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use anymetal_contract::packages::Package;
use anymetal_contract::plan::Arch;
use anymetal_contract::{Digest, terminal, text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan;

/// The `kind` of every lock.
pub const KIND: &str = "anymetal.lock";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;
/// The largest lock that is read, in bytes. One of a whole site has 40 KiB.
pub const LARGEST: u64 = 4 << 20;

/// What was resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The site's name.
    pub site: String,
    /// The operating system: `debian-12`.
    pub os: String,
    /// Components that come as archives, by name.
    pub components: BTreeMap<String, Locked>,
    /// Packages of the operating system: what the site wants, and all that takes.
    pub packages: BTreeMap<Arch, Closure>,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Its version: `1.21.5`.
    pub version: String,
    /// Its archives.
    pub artefacts: BTreeMap<Arch, Archive>,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Its sha256.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Where it can be had: upstream's own address, or those the site gives; never a mirror's, so that a lock is the same whichever was asked.
    pub urls: Vec<String>,
    /// Who says so, in the order of their weight, at least one.
    pub witnesses: Vec<Witness>,
}

/// Who says what an archive's digest is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Witness {
    /// Upstream's file of checksums, signed by this key: its fingerprint, 40 upper-case hexadecimal digits.
    Signed(String),
    /// Upstream's file of checksums, which nobody signed.
    Checksums,
    /// The description of the component, which says where it has it from.
    Known,
    /// The site's author.
    Site,
    /// Nobody but the archive itself, when it was first fetched.
    FirstSeen,
}

/// What a site wants of the operating system's archive, and all that takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    /// The indexes it was resolved from, by suite.
    pub suites: BTreeMap<String, Suite>,
    /// The packages that components name, sorted.
    pub wanted: Vec<String>,
    /// They and what they need over the base, in an order in which they can be installed.
    pub packages: Vec<Package>,
}

/// One signed index of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// When it was made: the `Date` of its Release file, as it stands there.
    pub date: String,
    /// The fingerprint of a key that signed it.
    pub signed: String,
}

impl Lock {
    /// Where the lock of a site is: beside it, `site.yaml` and `site.lock`.
    pub fn path(site: &Path) -> PathBuf {
        site.with_extension("lock")
    }

    /// The archive of that version of a component for that architecture, when the lock has it.
    pub fn archive(&self, component: &str, version: &str, arch: Arch) -> Option<&Archive> {
        let locked = self.components.get(component).filter(|locked| locked.version == version)?;
        locked.artefacts.get(&arch)
    }

    /// The canonical text: JSON with sorted keys, two spaces and a line feed at the end. Its `sha256` is that of all the rest in canonical JSON.
    pub fn text(&self) -> String {
        let mut value = serde_json::to_value(self).expect("our documents have text keys only");
        value["sha256"] = plan::digest(&plan::canonical(&value)).as_str().into();
        // serde_json keeps keys as they come when any crate asks it to
        value.sort_all_objects();
        let mut text = serde_json::to_string_pretty(&value).expect("a value is JSON");
        text.push('\n');
        text
    }

    /// The lock in these bytes, which have to be what [`Lock::text`] makes. How lines end, and a byte order mark, are nothing of it: git and editors change
    /// them on their own.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let text = text::decode(bytes).map_err(|why| anyhow::anyhow!("it is {why}"))?;
        let text = format!("{}\n", text.replace("\r\n", "\n").trim_end_matches('\n'));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut value: Value = serde_json::from_str(text).map_err(|error| quoting(&error)).context("it is no JSON")?;
        let (kind, version) = (&value["kind"], &value["version"]);
        ensure!(*kind == KIND, "it is of kind {kind}, not {KIND:?}");
        ensure!(*version == VERSION, "it has version {version}, this anymetal reads version {VERSION}");
        value.as_object_mut().and_then(|members| members.remove("sha256")).context("it has no `sha256` of its own")?;
        let lock: Self = serde_json::from_value(value)
            .map_err(|error| quoting(&error))
            .context("it does not have the form of a lock")?;
        let right = lock.text();
        if let Some((line, (found, _))) =
            text.lines().zip(right.lines()).enumerate().find(|(_, (found, right))| found != right)
        {
            bail!("line {} is not as `anymetal lock` wrote it: {}", line + 1, found.trim());
        }
        ensure!(text == right, "its end is not as `anymetal lock` wrote it");
        Ok(lock)
    }
}

/// A reader's words on one line: they quote what it read.
fn quoting(error: &serde_json::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", terminal::one_line(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lock() -> Lock {
        let archive = Archive {
            sha256: Digest::of([1; 32]),
            size: 123_456,
            urls: vec!["https://releases.example/consul_1.21.5_linux_amd64.zip".into()],
            witnesses: vec![Witness::Signed("C874011F0AB405110D02105534365D9472D7468F".into()), Witness::Known],
        };
        let package = Package {
            name: "bird2".into(),
            version: "2.0.12-7".into(),
            sha256: Digest::of([2; 32]),
            size: 99,
            urls: vec!["http://deb.example/debian/pool/main/b/bird2/bird2_2.0.12-7_amd64.deb".into()],
        };
        let suite = Suite { date: "Sat, 10 Feb 2024 11:07:25 UTC".into(), signed: "A".repeat(40) };
        let closure = Closure {
            suites: BTreeMap::from([("bookworm".into(), suite)]),
            wanted: vec!["bird2".into()],
            packages: vec![package],
        };
        Lock {
            kind: KIND.into(),
            version: VERSION,
            site: "demo".into(),
            os: "debian-12".into(),
            components: BTreeMap::from([(
                "consul".into(),
                Locked { version: "1.21.5".into(), artefacts: BTreeMap::from([(Arch::X86_64, archive)]) },
            )]),
            packages: BTreeMap::from([(Arch::X86_64, closure)]),
        }
    }

    #[test]
    fn a_lock_is_read_back_as_it_was_written() {
        assert_eq!(Lock::read(lock().text().as_bytes()).unwrap(), lock());
    }

    #[test]
    fn a_lock_is_the_same_however_its_lines_end() {
        let text = lock().text();
        let crlf = text.replace('\n', "\r\n");
        for saved in [
            crlf.clone(),
            format!("\u{FEFF}{text}"),
            format!("\u{FEFF}{crlf}"),
            text.trim_end().into(),
            text.clone() + "\n",
        ] {
            assert_eq!(Lock::read(saved.as_bytes()).unwrap(), lock(), "{saved:?}");
        }
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let error = Lock::read(&wide).unwrap_err().to_string();
        assert_eq!(error, "it is not UTF-8 at 1:1: this looks like UTF-16: save it as UTF-8");
    }

    #[test]
    fn every_changed_byte_shows() {
        let text = lock().text().into_bytes();
        for place in 0..text.len() {
            for flip in [1, 2, 16] {
                let mut other = text.clone();
                other[place] ^= flip;
                let error = Lock::read(&other).expect_err(&String::from_utf8_lossy(&other));
                assert!(!format!("{error:#}").is_empty());
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..3000, cut in 0_usize..3000) {
            let _any = Lock::read(&bytes);
            let text = lock().text();
            let (at, cut) = (at % text.len(), cut % text.len());
            let mangled = format!("{}{}{}", &text[..at], String::from_utf8_lossy(&bytes), &text[cut..]);
            let same = mangled.replace("\r\n", "\n").trim_end_matches('\n') == text.trim_end_matches('\n');
            prop_assert!(same || Lock::read(mangled.as_bytes()).is_err());
        }
    }

    #[test]
    fn what_has_another_version_need_not_look_like_ours() {
        let error = Lock::read(br#"{"kind":"anymetal.lock","version":2,"new":true}"#).unwrap_err().to_string();
        assert_eq!(error, "it has version 2, this anymetal reads version 1");
        assert!(Lock::read(b"[]").is_err());
    }
}
