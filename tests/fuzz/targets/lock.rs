//! `site.lock`: whatever the text, it is refused, or it is the very text that is written of what was read.
#![no_main]

use anymetal::lock::Lock;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(lock) = Lock::read(text) {
        assert_eq!(lock.text(), text);
    }
});
