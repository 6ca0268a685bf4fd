//! A bundle's tar: whatever the bytes, they are refused, or every blob that the index names can be read to its end.
#![no_main]

use std::io::{Read as _, Seek as _, Write as _};

use anymetal_contract::bundle::INDEX;
use anymetal_contract::place;
use anymetal_contract::release::FILE;
use anymetal_lab::archive::sha256;
use anymetal_supply::bundle::Bundle;
use anymetal_supply::bundle::header::{END, header, padding};

/// A tar as the reader wants it, with these texts in it: the index, the release, a blob. Headers of its form nobody finds by chance.
fn framed(texts: &[u8]) -> Vec<u8> {
    let mut texts = texts.splitn(3, |byte| *byte == 0);
    let mut bytes = Vec::new();
    let mut member = |name: &str, text: &[u8]| {
        bytes.extend_from_slice(&header(name, text.len() as u64));
        bytes.extend_from_slice(text);
        bytes.resize(bytes.len() + padding(text.len() as u64), 0);
    };
    member(INDEX, texts.next().unwrap_or_default());
    member(FILE, texts.next().unwrap_or_default());
    if let Some(blob) = texts.next() {
        member(&place::blob(&sha256(blob)), blob);
    }
    bytes.extend_from_slice(&END);
    bytes
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else { return };
    let tar = if first % 2 == 0 { rest.to_vec() } else { framed(rest) };
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(&tar).and_then(|()| file.rewind()).expect("a temporary file can be written");
    let Ok(bundle) = Bundle::open(file) else { return };
    for blob in &bundle.index().blobs {
        let mut section = bundle.blob(&blob.sha256).expect("the index and the members agree");
        let mut read = Vec::new();
        section.read_to_end(&mut read).expect("a member lies within the file");
        assert_eq!(read.len() as u64, blob.size);
    }
});
