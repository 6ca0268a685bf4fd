//! An index of packages, properly signed: whatever it says, it is refused, or the closure has what was wanted, each once, with safe addresses.
#![no_main]

mod debian;

use std::collections::BTreeSet;

use anymetal_lab::archive::{gzip, sha256};
use debian::{Files, KEY, resolved};

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let packed = gzip(text);
    let body = format!(
        "Suite: bookworm\nCodename: bookworm\nDate: Sat, 10 Feb 2024 11:07:25 UTC\nSHA256:\n {} {} main/binary-amd64/Packages.gz\n",
        sha256(&packed),
        packed.len()
    );
    let release = KEY.0.clearsigned(&body);
    let files = [("/InRelease", release.as_bytes()), ("/Packages.gz", &packed)];
    let Ok(closure) = resolved(&Files(&files)) else { return };
    let names: BTreeSet<_> = closure.packages.iter().map(|package| &package.name).collect();
    assert_eq!(names.len(), closure.packages.len());
    for url in closure.packages.iter().flat_map(|package| &package.urls) {
        assert!(url.starts_with("http://deb.example/debian/") && !url.contains(".."), "{url}");
    }
});
