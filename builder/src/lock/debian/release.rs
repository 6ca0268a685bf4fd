//! The signed list of a suite's indexes (`InRelease`): whose it is, of when, and what it says its files are.
//! May not fetch, and may not believe a word before the signature is checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use anymetal_contract::{Digest, terminal};
use deb822_fast::borrowed::BorrowedParagraph;
use sha2::Digest as _;

use super::archive::Source;
use super::date::moment;
use super::index;
use crate::lock::document::Suite;
use crate::lock::openpgp::Keyring;

/// The largest `InRelease` that is read, in bytes. Debian's own have 200 KiB.
pub const LARGEST: u64 = 1 << 20;

/// What a suite's `InRelease` says.
#[derive(Debug)]
pub struct Release {
    /// When it was made and who signed it.
    pub suite: Suite,
    /// Whether its files can also be asked for by their digest, which no update of the mirror takes away in between.
    pub by_hash: bool,
    /// When it was made.
    pub made: SystemTime,
    /// Until when it is to be believed, when it says so.
    pub until: Option<SystemTime>,
    files: BTreeMap<String, Listed>,
}

/// A file of the suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its digest.
    pub sum: Sum,
    /// Its size in bytes.
    pub size: u64,
}

/// A digest of one of the two kinds that apt trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// As everywhere.
    Sha256(Digest),
    /// Of an archive that has no other: 128 lower-case hexadecimal digits.
    Sha512(String),
}

impl Sum {
    /// The field that lists it, and its digits: how a file is called that is kept by its digest.
    pub fn named(&self) -> (&'static str, &str) {
        match self {
            Self::Sha256(digest) => ("SHA256", digest.as_str()),
            Self::Sha512(hex) => ("SHA512", hex),
        }
    }

    /// The same of these bytes.
    pub fn of(&self, bytes: &[u8]) -> Self {
        match self {
            Self::Sha256(_) => Self::Sha256(Digest::of(sha2::Sha256::digest(bytes).into())),
            Self::Sha512(_) => Self::Sha512(sha2::Sha512::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
                let _infallible = write!(hex, "{byte:02x}");
                hex
            })),
        }
    }

    fn read(field: &str, hex: &str) -> Option<Self> {
        let digits = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match field {
            "SHA256" => hex.parse().ok().map(Self::Sha256),
            _ => (hex.len() == 128 && hex.bytes().all(digits)).then(|| Self::Sha512(hex.to_owned())),
        }
    }
}

impl Release {
    /// What these bytes say about the suite of that name, when a key of the keyring signed it, when it has not expired `now`, and when it is no
    /// older than the one that was locked before.
    pub fn read(
        name: &str,
        bytes: &[u8],
        keyring: &Keyring,
        now: SystemTime,
        previous: Option<&Suite>,
    ) -> Result<Self> {
        let text = std::str::from_utf8(bytes).context("it is no text")?;
        let (body, signed) = keyring.verify_clearsigned(text, now).context("checking its signature")?;
        Self::believe(name, &body, signed, now, previous)
    }

    /// The same of a `Release` whose signature is a file of its own.
    pub fn read_detached(
        name: &str,
        (bytes, signature): (&[u8], &[u8]),
        keyring: &Keyring,
        now: SystemTime,
        previous: Option<&Suite>,
    ) -> Result<Self> {
        let signed = keyring.verify_detached(bytes, signature, now).context("checking its signature, Release.gpg")?;
        let text = std::str::from_utf8(bytes).context("it is no text")?;
        Self::believe(name, &text.replace("\r\n", "\n"), signed, now, previous)
    }

    /// What a body says whose signature is right.
    fn believe(name: &str, body: &str, signed: String, now: SystemTime, previous: Option<&Suite>) -> Result<Self> {
        let paragraphs = index::paragraphs(body).context("reading its fields")?;
        let [fields] = paragraphs.as_slice() else {
            bail!("it has {} blocks of fields, not one", paragraphs.len());
        };
        let field = |name| fields.get_single(name).map(str::trim_end);
        let names = [field("Codename"), field("Suite")];
        ensure!(
            names.contains(&Some(name)),
            "it is the index of {}, not of {name}",
            terminal::one_line(names.into_iter().flatten().next().unwrap_or("a suite without a name"))
        );
        let date = field("Date").context("it has no Date")?;
        let made = moment(date).context("reading its Date")?;
        let until = field("Valid-Until").map(|until| Ok((until, moment(until)?))).transpose();
        let until = until.map_err(|error: anyhow::Error| error.context("reading its Valid-Until"))?;
        if let Some((until, moment)) = until {
            ensure!(
                moment >= now,
                "the index of {name} expired on {until}\n\
                 hint: ask another mirror, as this one is behind; or check this machine's clock"
            );
        }
        if let Some(previous) = previous {
            ensure!(
                made >= moment(&previous.date).context("reading the date in the lock")?,
                "the index of {name} is of {date}, and the lock was made from one of {}\n\
                 hint: ask another mirror, as this one is behind, or somebody plays back an old index",
                previous.date
            );
        }
        let by_hash = field("Acquire-By-Hash") == Some("yes");
        let (suite, until) = (Suite { date: date.to_owned(), signed }, until.map(|(_, moment)| moment));
        Ok(Self { suite, by_hash, made, until, files: files(fields)? })
    }

    /// The file of that name.
    pub fn file(&self, name: &str) -> Option<&Listed> {
        self.files.get(name)
    }
}

/// How old an index may be that does not say until when it is to be believed: half a year. Debian makes one of its stable release every two months
/// or so for as long as that is cared for, and never again afterwards.
const OLDEST: Duration = Duration::from_hours(26 * 7 * 24);

/// Whether none of the indexes is of an age that nobody knows. A signed index is a clock too: when it was made is past, whatever this machine's
/// clock says. One that is as new as the one this release knows (`Source::known`) is old enough for nobody to be deceived by it.
pub fn judge_ages(releases: &[(&Source, &Release)], now: SystemTime) -> Result<()> {
    let now = releases.iter().map(|(_, release)| release.made).fold(now, SystemTime::max);
    for (source, release) in releases {
        let (name, date) = (&source.name, &release.suite.date);
        if release.until.is_some_and(|until| until < now) {
            bail!(
                "the index of {name} is of {date} and has expired, and another one is newer than this machine's clock\n\
                 hint: check the clock, and ask another mirror, as this one is behind"
            );
        }
        let known =
            source.known.as_deref().map(moment).transpose().context("reading the description of the archive")?;
        let old = release.made + OLDEST < now && known.is_none_or(|known| release.made < known);
        ensure!(
            !old || release.until.is_some(),
            "the index of {name} is of {date}, and does not say until when it is to be believed: it may be one that somebody plays back\n\
             hint: ask another mirror, as this one may be behind; when it is the newest there is, `--allow-old` takes it"
        );
    }
    Ok(())
}

/// The lines below `SHA256:`, each a digest, a size and a name; those below `SHA512:` when there are no others.
fn files(fields: &BorrowedParagraph<'_>) -> Result<BTreeMap<String, Listed>> {
    let found = ["SHA256", "SHA512"].iter().find_map(|field| Some((*field, fields.get(field)?)));
    let (field, lines) = found.context("it has neither SHA256 nor SHA512, so that nothing can be checked")?;
    let mut files = BTreeMap::new();
    for line in lines.iter().filter(|line| !line.trim().is_empty()) {
        let read = || {
            let mut words = line.split_ascii_whitespace();
            let (sum, size, name) = (Sum::read(field, words.next()?)?, words.next()?.parse().ok()?, words.next()?);
            words.next().is_none().then(|| (name.to_owned(), Listed { sum, size }))
        };
        let (name, listed) = read().with_context(|| format!("reading {line:?}: it is no digest, size and name"))?;
        let twice = files.get(&name).is_some_and(|other| *other != listed);
        ensure!(!twice, "it lists {name} twice, with different digests");
        files.insert(name, listed);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Release> {
        Release::believe("bookworm", body, "A".repeat(40), SystemTime::UNIX_EPOCH, None)
    }

    const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const HEAD: &str = "Suite: oldstable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n";

    #[test]
    fn files_are_listed_by_digest_size_and_name() {
        let release = read(&format!("{HEAD}SHA256:\n {SHA256}        0 main/a\n {SHA256} 12 main/b\n")).unwrap();
        assert_eq!(release.file("main/b"), Some(&Listed { sum: Sum::Sha256(SHA256.parse().unwrap()), size: 12 }));
        assert_eq!(release.file("main/c"), None);
        assert!(!release.by_hash);
    }

    #[test]
    fn an_archive_may_list_its_files_by_sha512_alone() {
        let empty = Sum::Sha512(String::new()).of(b"");
        let (_, hex) = empty.named();
        let release = read(&format!("{HEAD}MD5Sum:\n abc 0 main/a\nSHA512:\n {hex} 0 main/a\n")).unwrap();
        assert_eq!(release.file("main/a"), Some(&Listed { sum: empty.clone(), size: 0 }));
        assert!(hex.starts_with("cf83e1357eefb8bd"), "as sha512sum says");
    }

    #[test]
    fn a_list_that_is_not_plain_is_refused() {
        for (list, expected) in [
            (String::new(), "it has neither SHA256 nor SHA512, so that nothing can be checked".to_owned()),
            ("SHA256:\n abc 0 main/a\n".into(), "reading \"abc 0 main/a\": it is no digest, size and name".into()),
            (
                format!("SHA256:\n {SHA256} -1 main/a\n"),
                format!("reading \"{SHA256} -1 main/a\": it is no digest, size and name"),
            ),
            (
                format!("SHA256:\n {SHA256} 1 main/a\n {SHA256} 2 main/a\n"),
                "it lists main/a twice, with different digests".into(),
            ),
        ] {
            assert_eq!(read(&format!("{HEAD}{list}")).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn an_index_of_unknown_age_is_old_after_half_a_year_unless_it_is_the_newest_that_is_known() {
        const JULY: &str = "Sat, 11 Jul 2026 10:16:37 UTC";
        let day =
            |days: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_783_764_997) + Duration::from_hours(days * 24);
        let of = |date: &str, until: &str| {
            let body = format!("Codename: bookworm\nDate: {date}\n{until}SHA256:\n {SHA256} 0 main/a\n");
            read(&body).unwrap()
        };
        let source = |known: Option<&str>| Source {
            name: "bookworm".into(),
            url: "http://deb.example/debian".into(),
            known: known.map(str::to_owned),
        };
        let security = of("Wed, 25 Nov 2026 22:33:12 UTC", "Valid-Until: Wed, 02 Dec 2026 22:33:12 UTC\n");
        let stable = of(JULY, "");
        let other = Source { name: "bookworm-security".into(), ..source(None) };
        let judge = |known: Option<&str>, now: SystemTime| {
            judge_ages(&[(&source(known), &stable), (&other, &security)], now).map_err(|error| error.to_string())
        };
        assert_eq!(judge(None, day(140)), Ok(()), "stable as it is in November");
        assert!(judge(None, day(0)).is_ok(), "a clock that is behind");
        let old = judge_ages(&[(&source(None), &stable)], day(183)).unwrap_err().to_string();
        assert!(old.starts_with(&format!("the index of bookworm is of {JULY}, and does not say until when")), "{old}");
        assert!(old.ends_with("`--allow-old` takes it"), "{old}");
        assert!(judge_ages(&[(&source(Some(JULY)), &stable)], day(1000)).is_ok(), "the last there will be");
        assert!(judge_ages(&[(&source(Some("Sat, 11 Jul 2026 10:16:38 UTC")), &stable)], day(1000)).is_err());
        // the clock stands still, and a signed index shows it
        let next = of("Fri, 01 Jan 2027 00:00:00 UTC", "");
        let expired = judge_ages(&[(&other, &security), (&source(None), &next)], day(140)).unwrap_err().to_string();
        assert!(expired.contains("has expired, and another one is newer than this machine's clock"), "{expired}");
        let later = of("Sun, 10 Jan 2027 00:00:00 UTC", "");
        assert!(
            judge_ages(&[(&source(None), &stable), (&other, &later)], day(0)).is_err(),
            "half a year by the other's clock"
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(Codename: bookworm\n|Date: .{0,30}\n|SHA256:\n|( .{0,20}\n)|.{0,20}|\n){0,20}") {
            let _either = read(&text);
        }
    }
}
