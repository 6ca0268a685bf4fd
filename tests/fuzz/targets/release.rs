//! A release of a suite: as a stranger's whole file, and as a text that a known key has signed.
#![no_main]

mod debian;

use debian::{Files, KEY, resolved};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let strangers = resolved(&Files(&[("/InRelease", bytes)]));
    assert!(strangers.is_err(), "nobody signed it");
    if let Ok(text) = std::str::from_utf8(bytes) {
        let signed = KEY.0.clearsigned(text);
        let _either = resolved(&Files(&[("/InRelease", signed.as_bytes())]));
    }
});
