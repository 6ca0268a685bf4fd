//! Signatures and keys in minisign's form: whatever they are, they are refused, or written again they are what they were.
#![no_main]

use anymetal_supply::signature::{PublicKey, Signature, check, signers};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(signature) = Signature::read(text) {
        // all but the first line, which is nobody's word
        let rest = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
        assert_eq!(rest(&signature.text()), rest(text));
    }
    if let Some(key) = PublicKey::read(text) {
        assert_eq!(key.text(), text.trim());
    }
    if let Ok(keys) = signers(text) {
        assert!(check(&keys, b"a plan", text).is_err(), "a list of keys signs nothing");
    }
});
