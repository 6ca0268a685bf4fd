//! A small Debian of the lab: a main and a security archive, a key, and a bird that needs a library.
//! May not judge: the tests do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use anymetal::lock::debian::{Absent, Archive, Ask, Base, Fetch, Source, closure};
use anymetal::lock::document::Closure;
use anymetal::lock::openpgp::Keyring;
use anymetal_contract::plan::Arch;
use anymetal_lab::debian::{Deb, Files, Suite};
use anymetal_lab::openpgp::Key;

/// Upstream's own addresses.
pub const UPSTREAM: &str = "http://deb.example/debian";
pub const SECURITY: &str = "http://security.example/debian-security";
/// When the indexes were made, and until when the security one is good.
pub const DATE: &str = "Sat, 10 Feb 2024 11:07:25 UTC";
pub const UNTIL: &str = "Tue, 17 Feb 2099 11:07:25 UTC";

/// An archive, and how it is asked.
pub struct Lab {
    pub archive: Archive,
    pub key: Key,
    pub keyring: Keyring,
    pub arch: Arch,
    pub files: BTreeMap<String, Files>,
    pub previous: Option<Closure>,
    pub now: SystemTime,
}

/// The two suites as they are when nobody changed them.
pub fn suites() -> [(&'static str, Suite); 2] {
    let both = |name: &str, version: &str, fields: &[(&str, &str)]| {
        ["amd64", "arm64"].map(|architecture| {
            let deb = Deb::new(name, version, architecture);
            fields.iter().fold(deb, |deb, (name, value)| deb.field(name, value))
        })
    };
    let bird = [("Depends", "libc6 (>= 2.36), libssh-gcrypt-4 (>= 0.8.0)"), ("Priority", "optional")];
    let main = [
        both("libc6", "2.36-9", &[("Priority", "optional")]),
        both("tar", "1.34", &[("Essential", "yes"), ("Depends", "libc6"), ("Priority", "required")]),
        both("libssh-gcrypt-4", "0.10.6", &[("Depends", "libc6"), ("Priority", "optional")]),
        both("bird2", "2.0.12-7", &bird),
    ];
    let security = [both("bird2", "2.0.12-7+deb12u1", &bird)];
    [
        (UPSTREAM, Suite::new("bookworm", DATE, main.concat())),
        (SECURITY, Suite::new("bookworm-security", DATE, security.concat()).field("Valid-Until", UNTIL)),
    ]
}

impl Lab {
    /// As it should be.
    pub fn new() -> Self {
        Self::changed(|_| {})
    }

    /// With every suite changed before it is signed.
    pub fn changed(change: impl Fn(&mut Suite)) -> Self {
        let key = Key::with_subkey(12, "archive");
        let mut files = BTreeMap::new();
        for (url, mut suite) in suites() {
            change(&mut suite);
            files.insert(url.to_owned(), suite.files(&|text| key.clearsigned(text)));
        }
        let source = |(url, suite): (&str, Suite)| Source { name: suite.name, url: url.to_owned(), known: None };
        let base = Base { essential: true, priorities: vec!["required".into()] };
        Self {
            archive: Archive::new("main", suites().map(source).to_vec(), base),
            keyring: Keyring::read(key.public().as_bytes()).unwrap(),
            key,
            arch: Arch::X86_64,
            files,
            previous: None,
            now: SystemTime::now() + Duration::from_mins(1),
        }
    }

    /// Puts other bytes in the place of a file.
    pub fn replace(&mut self, url: &str, path: &str, bytes: Vec<u8>) {
        self.files.get_mut(url).unwrap().insert(path.to_owned(), bytes);
    }

    /// What is asked.
    pub fn ask<'a>(&'a self, wanted: &'a BTreeSet<String>, fetch: &'a dyn Fetch) -> Ask<'a> {
        Ask {
            archive: &self.archive,
            fetch,
            keyring: &self.keyring,
            arch: self.arch,
            wanted,
            previous: self.previous.as_ref(),
            now: self.now,
            // the lab's archive is of 2024
            allow_old: true,
        }
    }

    /// What these packages (parted by blanks) take.
    pub fn resolve(&self, wanted: &str) -> anyhow::Result<Closure> {
        closure(&self.ask(&wanted.split(' ').map(str::to_owned).collect(), self))
    }

    /// Why they are not resolved, in all its sentences.
    pub fn refused(&self, wanted: &str) -> String {
        format!("{:#}", self.resolve(wanted).expect_err("nothing was refused"))
    }
}

impl Fetch for Lab {
    fn get(&self, url: &str, most: u64) -> anyhow::Result<Vec<u8>> {
        let below = |base: &String| url.strip_prefix(base.as_str())?.strip_prefix('/');
        let found = self.files.iter().find_map(|(base, files)| files.get(below(base)?));
        let bytes = found.ok_or_else(|| Absent(format!("the lab has no {url}")))?;
        anyhow::ensure!(bytes.len() as u64 <= most, "{url} is longer than {most} bytes");
        Ok(bytes.clone())
    }
}
