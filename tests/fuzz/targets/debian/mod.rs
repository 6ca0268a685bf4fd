//! A Debian archive of one suite, whose files are made of what the fuzzer gives.
//! May not judge.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use anymetal::lock::debian::{Archive, Ask, Base, Fetch, Source, closure};
use anymetal::lock::document::Closure;
use anymetal::lock::openpgp::Keyring;
use anymetal_contract::plan::Arch;
use anymetal_lab::openpgp::Key;

/// Who signs what the fuzzer makes: a reader must stand what a signed archive says, too.
pub static KEY: LazyLock<(Key, Keyring)> = LazyLock::new(|| {
    let key = Key::make(1, "fuzz");
    let keyring = Keyring::read(key.public().as_bytes()).expect("the lab's own key is one");
    (key, keyring)
});

/// Files by the end of their address.
pub struct Files<'f>(pub &'f [(&'f str, &'f [u8])]);

impl Fetch for Files<'_> {
    fn get(&self, url: &str, most: u64) -> anyhow::Result<Vec<u8>> {
        let found = self.0.iter().find(|(end, _)| url.ends_with(end)).map(|(_, bytes)| bytes.to_vec());
        let bytes = found.ok_or_else(|| anyhow::anyhow!("there is no {url}"))?;
        anyhow::ensure!(bytes.len() as u64 <= most, "{url} has more than {most} bytes");
        Ok(bytes)
    }
}

/// What `a` and `b` take of that archive.
pub fn resolved(files: &Files<'_>) -> anyhow::Result<Closure> {
    let source = Source { name: "bookworm".into(), url: "http://deb.example/debian".into(), known: None };
    let base = Base { essential: true, priorities: vec!["required".into()] };
    closure(&Ask {
        archive: &Archive::new("main", vec![source], base),
        fetch: files,
        keyring: &KEY.1,
        arch: Arch::X86_64,
        wanted: &BTreeSet::from(["a".to_owned(), "b".to_owned()]),
        previous: None,
        now: SystemTime::UNIX_EPOCH + Duration::from_hours(475_000),
        allow_old: false,
    })
}
