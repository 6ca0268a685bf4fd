//! What upstreams say, and what comes of it. The files are in memory; `tests/lock` has them on servers.

use std::cell::RefCell;
use std::time::Duration;

use anymetal_lab::openpgp::Key;

use super::super::trouble;
use super::*;
use crate::lock::upstream::{Measured, Refusal};
use crate::sample;
use crate::site::model::{Mirror, Pin};

const SUMS: &str = "https://releases.hashicorp.com/consul/1.16.1/consul_1.16.1_SHA256SUMS";
const ARCHIVE: &str = "consul_1.16.1_linux_amd64.zip";
/// Of the archive that is known.
const KNOWN: &str = "1d48942fa9f1d0df3f56a1622c7a46e9b85924ed9976338912101bb5519aadf1";

/// Files by URL, and what was asked for.
#[derive(Default)]
struct Memory {
    files: BTreeMap<String, Vec<u8>>,
    size: Option<u64>,
    digest: Option<Digest>,
    unreachable: bool,
    asked: RefCell<Vec<String>>,
}

impl Memory {
    fn refuse<T>(&self, url: &str) -> Result<T, Refusal> {
        Err(Refusal { why: format!("no {url}"), absent: !self.unreachable })
    }

    fn put(mut self, url: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.insert(url.to_owned(), bytes.into());
        self
    }

    /// HashiCorp's layout, signed.
    fn signed(key: &Key, sums: &str) -> Self {
        let memory = Self { size: Some(7), ..Self::default() };
        memory.put(SUMS, sums).put(&format!("{SUMS}.sig"), key.detached(sums.as_bytes()))
    }
}

impl Files for Memory {
    fn document(&self, _: &str, url: &str, _: u64, _: bool) -> Result<Vec<u8>, Refusal> {
        self.asked.borrow_mut().push(url.to_owned());
        self.files.get(url).cloned().map_or_else(|| self.refuse(url), Ok)
    }

    fn measure(&self, _: &str, url: &str) -> Result<Measured, Refusal> {
        self.asked.borrow_mut().push(url.to_owned());
        let sha256 = self.digest.clone().map(|digest| (digest, "a file".to_owned()));
        self.size.map_or_else(|| self.refuse(url), |size| Ok(Measured { size, sha256 }))
    }
}

/// The sample, whose HashiCorp signs with this key.
fn site(key: &Key) -> Site {
    let mut site = sample::site();
    site.sources.insert("hashicorp".into(), Mirror { url: None, key: Some(key.public().into_bytes()) });
    site
}

fn pinned(key: &Key, sha256: Digest, urls: &[&str]) -> Site {
    let mut site = site(key);
    let pin = Pin { sha256, size: None, urls: urls.iter().map(ToString::to_string).collect() };
    site.components.get_mut("consul").unwrap().artefacts.insert(Arch::X86_64, pin);
    site
}

fn line(digest: &str) -> String {
    format!("{digest}  {ARCHIVE}\n")
}

/// What is resolved of a site without a lock: Consul's archive and the notes, or what troubles.
fn fresh(site: &Site, files: &Memory) -> Result<(Archive, Vec<String>), String> {
    again(site, None, &Wish::default(), files)
}

fn again(site: &Site, previous: Option<&Lock>, wish: &Wish, files: &Memory) -> Result<(Archive, Vec<String>), String> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1_139_568); // 2100
    let resolved = archives(site, previous, wish, files, now).map_err(|troubles| {
        let [trouble] = &troubles[..] else { panic!("{troubles:?}") };
        match trouble {
            Trouble::Wrong(text) => format!("wrong: {text}"),
            Trouble::World(text) => format!("world: {text}"),
            Trouble::Unanswered(_) => format!("world: {}", trouble::told(std::slice::from_ref(trouble))),
            Trouble::Unsigned(_) => format!("wrong: {}", trouble::told(std::slice::from_ref(trouble))),
        }
    })?;
    Ok((resolved.components["consul"].artefacts[&Arch::X86_64].clone(), resolved.notes))
}

#[test]
fn a_signed_checksum_and_a_known_digest_are_two_witnesses() {
    let key = Key::make(1, "upstream");
    let files = Memory::signed(&key, &line(KNOWN));
    let (archive, notes) = fresh(&site(&key), &files).unwrap();
    assert_eq!((archive.sha256.as_str(), archive.size, notes), (KNOWN, 7, vec![]));
    assert_eq!(archive.witnesses, [Witness::Signed(key.fingerprint()), Witness::Known]);
    assert_eq!(archive.urls, [format!("https://releases.hashicorp.com/consul/1.16.1/{ARCHIVE}")]);
}

#[test]
fn whoever_disagrees_is_named_with_both_digests() {
    let key = Key::make(1, "upstream");
    let other = "ab".repeat(32);
    let files = Memory::signed(&key, &line(&other));
    let signed = format!("signed by {}", key.fingerprint());
    let error = fresh(&site(&key), &files).unwrap_err();
    let expected = format!(
        "wrong: consul 1.16.1 for x86_64: its sha256 is {other}, {signed}; and {KNOWN}, known to this anymetal\nhint: "
    );
    assert!(error.starts_with(&expected), "{error}");

    let pin = Digest::of([0xcd; 32]);
    let files = Memory::signed(&key, &line(KNOWN));
    let error = fresh(&pinned(&key, pin.clone(), &[]), &files).unwrap_err();
    let expected = format!(
        "wrong: consul 1.16.1 for x86_64: its sha256 is {KNOWN}, {signed}; and {pin}, pinned by the site\nhint: "
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn an_archive_of_the_sites_own_is_nobody_elses_business() {
    let key = Key::make(1, "upstream");
    let files = Memory { size: Some(5), ..Memory::default() };
    let own = Digest::of([0xcd; 32]);
    let (archive, notes) = fresh(&pinned(&key, own.clone(), &["https://m.example/c.zip"]), &files).unwrap();
    let expected =
        Archive { sha256: own, size: 5, urls: vec!["https://m.example/c.zip".into()], witnesses: vec![Witness::Site] };
    assert_eq!((archive, notes), (expected, vec![]));
    assert_eq!(files.asked.take(), ["https://m.example/c.zip"]);
}

#[test]
fn what_is_signed_wrongly_is_not_replaced_by_what_is_known() {
    let (key, stranger) = (Key::make(1, "upstream"), Key::make(2, "stranger"));
    for (files, expected) in [
        (Memory::signed(&stranger, &line(KNOWN)), format!("it is signed by the key {}", stranger.fingerprint())),
        (
            Memory::signed(&key, &line(KNOWN)).put(SUMS, line(&"ab".repeat(32))),
            format!("the signature of {}: it does not fit what was signed", key.fingerprint()),
        ),
        (
            Memory::signed(&key, &line(KNOWN)).put(&format!("{SUMS}.sig"), "x"),
            "reading it as an OpenPGP signature".into(),
        ),
    ] {
        let error = fresh(&site(&key), &files).unwrap_err();
        let start = format!("wrong: consul 1.16.1: verifying {SUMS} by {SUMS}.sig: {expected}");
        assert!(error.starts_with(&start), "{error}");
    }
}

#[test]
fn without_checksums_the_known_digest_is_the_witness_and_that_is_said() {
    let key = Key::make(1, "upstream");
    let files = Memory { size: Some(7), ..Memory::default() };
    let (archive, notes) = fresh(&site(&key), &files).unwrap();
    assert_eq!((archive.sha256.as_str(), archive.witnesses), (KNOWN, vec![Witness::Known]));
    let expected = format!(
        "consul 1.16.1 for x86_64: upstream's checksums cannot be had, so its sha256 is the one known to this anymetal; no {SUMS}"
    );
    assert_eq!(notes, [expected]);
    // nor is an unsigned file taken where a signed one has to be
    let unsigned = Memory { size: Some(7), ..Memory::default() }.put(SUMS, line(&"ab".repeat(32)));
    assert_eq!(fresh(&site(&key), &unsigned).unwrap().0.witnesses, [Witness::Known]);
}

#[test]
fn what_nobody_knows_is_the_authors_to_pin_or_the_worlds_to_answer() {
    let key = Key::make(1, "upstream");
    let mut site = site(&key);
    site.components.get_mut("consul").unwrap().version = "1.8.7".parse().unwrap();
    let hint = "\nhint: pin it in the site, `components.consul.artefacts.x86_64.sha256`";
    let sums = SUMS.replace("1.16.1", "1.8.7");
    for (unreachable, kind) in [(false, "wrong"), (true, "world")] {
        let files = Memory { unreachable, ..Memory::default() };
        let expected = format!("{kind}: consul 1.8.7 for x86_64: nobody knows its sha256; no {sums}{hint}");
        assert_eq!(fresh(&site, &files).unwrap_err(), expected);
    }
    let files = Memory::signed(&key, "")
        .put(&sums, line(KNOWN))
        .put(&format!("{sums}.sig"), key.detached(line(KNOWN).as_bytes()));
    let expected = format!(
        "wrong: consul 1.8.7 for x86_64: reading {sums}: it has no line for consul_1.8.7_linux_amd64.zip{hint}"
    );
    assert_eq!(fresh(&site, &files).unwrap_err(), expected);
}

#[test]
fn a_size_that_nobody_tells_and_a_carried_file_that_is_another_are_errors() {
    let key = Key::make(1, "upstream");
    let files = Memory { size: None, unreachable: true, ..Memory::signed(&key, &line(KNOWN)) };
    let error = fresh(&site(&key), &files).unwrap_err();
    assert!(
        error.starts_with("world: consul 1.16.1 for x86_64: nobody tells its size; no https://releases"),
        "{error}"
    );
    let files = Memory { digest: Some(Digest::of([1; 32])), ..Memory::signed(&key, &line(KNOWN)) };
    let error = fresh(&site(&key), &files).unwrap_err();
    let expected = format!(
        "wrong: consul 1.16.1 for x86_64: its sha256 is {KNOWN}, and that of a file is {}",
        Digest::of([1; 32])
    );
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn what_is_locked_is_kept_until_it_is_asked_for_and_not_replaced_until_that_is_accepted() {
    let key = Key::make(1, "upstream");
    let mut site = site(&key);
    site.components.get_mut("consul").unwrap().version = "1.8.7".parse().unwrap();
    let sums = SUMS.replace("1.16.1", "1.8.7");
    let release = |digest: &str| {
        let text = line(digest).replace("1.16.1", "1.8.7");
        Memory::signed(&key, "").put(&sums, text.clone()).put(&format!("{sums}.sig"), key.detached(text.as_bytes()))
    };
    let (one, two) = ("ab".repeat(32), "cd".repeat(32));
    let (archive, _) = fresh(&site, &release(&one)).unwrap();
    let locked = Locked { version: "1.8.7".into(), artefacts: BTreeMap::from([(Arch::X86_64, archive.clone())]) };
    let lock = lock(&site, BTreeMap::from([("consul".into(), locked)]), BTreeMap::new());

    let nobody = Memory::default();
    assert_eq!(again(&site, Some(&lock), &Wish::default(), &nobody).unwrap().0, archive);
    assert!(nobody.asked.take().is_empty());

    let names = || BTreeSet::from(["consul".to_owned()]);
    let update = Wish { update: names(), ..Wish::default() };
    let same = Memory { size: None, ..release(&one) };
    assert_eq!(again(&site, Some(&lock), &update, &same).unwrap().0, archive, "the size of the same bytes is known");
    let error = again(&site, Some(&lock), &update, &release(&two)).unwrap_err();
    let expected = format!(
        "wrong: consul 1.8.7 for x86_64: the lock has sha256 {one}, and now it is {two}, signed by {}: upstream replaced what it had released\nhint: find out why; `--accept consul` takes the new one",
        key.fingerprint()
    );
    assert_eq!(error, expected);
    let accept = Wish { accept: names(), ..update };
    assert_eq!(again(&site, Some(&lock), &accept, &release(&two)).unwrap().0.sha256.as_str(), two);
    // another version is nobody's replacement
    site.components.get_mut("consul").unwrap().version = "1.16.1".parse().unwrap();
    let files = Memory::signed(&key, &line(KNOWN));
    assert_eq!(again(&site, Some(&lock), &Wish::default(), &files).unwrap().0.sha256.as_str(), KNOWN);
}
