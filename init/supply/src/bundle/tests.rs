//! Bundles that nobody should make, each refused with its sentence.

use std::io::Write as _;

use anymetal_contract::bundle::Blob;
use anymetal_contract::plan::Arch;
use proptest::prelude::*;

use super::*;

fn digest(bytes: &[u8]) -> Digest {
    Digest::of(Sha256::digest(bytes).into())
}

const PLAN_TEXT: &[u8] = b"{\"a\":\"plan\"}";
const ONE: &[u8] = b"one blob";

fn good_release() -> Release {
    let pinned = |bytes: &[u8]| release::Pinned { sha256: digest(bytes), size: bytes.len() as u64 };
    Release {
        kind: release::KIND.into(),
        version: release::VERSION,
        site: "demo".into(),
        serial: 7,
        plan: pinned(PLAN_TEXT),
        inits: BTreeMap::from([(Arch::X86_64, pinned(ONE))]),
        stub: digest(b"stub"),
        unit: digest(b"unit"),
        cloud_config: None,
        signers: Vec::new(),
    }
}

/// Members of a good bundle; the blobs are sorted by digest.
fn good() -> Vec<(String, Vec<u8>)> {
    let release = serde_json::to_vec(&good_release()).unwrap();
    let mut blobs = vec![ONE.to_vec(), vec![7; 512], Vec::new(), PLAN_TEXT.to_vec(), release.clone()];
    blobs.sort_by_key(|blob| digest(blob));
    let of = |blob: &Vec<u8>| Blob { sha256: digest(blob), size: blob.len() as u64, name: "a thing".into() };
    let index = Index {
        kind: KIND.into(),
        version: VERSION,
        site: "demo".into(),
        release: digest(&release),
        plan: digest(PLAN_TEXT),
        inits: BTreeMap::from([(Arch::X86_64, digest(ONE))]),
        blobs: blobs.iter().map(of).collect(),
    };
    let members = [(INDEX.to_owned(), serde_json::to_vec(&index).unwrap()), (FILE.to_owned(), release)];
    members.into_iter().chain(blobs.into_iter().map(|blob| (place::blob(&digest(&blob)), blob))).collect()
}

fn packed(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, content) in members {
        bytes.extend(header::header(name, content.len() as u64));
        bytes.extend(content);
        bytes.resize(bytes.len() + padding(content.len() as u64), 0);
    }
    bytes.extend(END);
    bytes
}

fn open(bytes: &[u8]) -> Result<Bundle> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Bundle::open(file)
}

/// The good bundle with another index.
fn indexed(change: impl FnOnce(&mut Index)) -> Vec<u8> {
    let mut members = good();
    let mut index: Index = serde_json::from_slice(&members[0].1).unwrap();
    change(&mut index);
    members[0].1 = serde_json::to_vec(&index).unwrap();
    packed(&members)
}

/// The good bundle with the header of one member changed, and its checksum right.
fn headed(member: usize, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let members = good();
    let begin = packed(&members[..member]).len() - END.len();
    let mut bytes = packed(&members);
    let block = &mut bytes[begin..begin + BLOCK];
    change(block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    bytes
}

#[test]
fn what_was_packed_is_found() {
    let mut members = good();
    let bundle = open(&packed(&members)).unwrap();
    assert_eq!((bundle.release(), bundle.signature(), bundle.index().site.as_str()), (&good_release(), None, "demo"));
    assert_eq!((bundle.index_text(), bundle.release_text()), (&members[0].1[..], &members[1].1[..]));
    let mut content = Vec::new();
    bundle.blob(&digest(ONE)).unwrap().read_to_end(&mut content).unwrap();
    assert_eq!(content, ONE);
    assert!(bundle.blob(&digest(b"other")).is_none());
    members.insert(2, (SIGNATURE.into(), b"signed".to_vec()));
    let bundle = open(&packed(&members)).unwrap();
    assert_eq!(bundle.signature(), Some(&b"signed"[..]));
    assert_eq!(bundle.blob(&digest(&[7; 512])).unwrap().left(), 512);
}

#[test]
fn what_nobody_should_make_is_refused_with_a_sentence() {
    let named = |name: &'static str| {
        move |block: &mut [u8]| {
            block[..100].fill(0);
            block[..name.len()].copy_from_slice(name.as_bytes());
        }
    };
    let kind = |flag: u8| move |block: &mut [u8]| block[156] = flag;
    let first = place::blob(&serde_json::from_slice::<Index>(&good()[0].1).unwrap().blobs[0].sha256);
    let swapped = |one: usize, other: usize| {
        let mut members = good();
        members.swap(one, other);
        packed(&members)
    };
    let twice = {
        let mut members = good();
        members.push(members[4].clone());
        packed(&members)
    };
    let without = {
        let mut members = good();
        members.pop();
        packed(&members)
    };
    let longer = [packed(&good()), vec![0; 512]].concat();
    let whole = packed(&good());
    for (bytes, sentence) in [
        (Vec::new(), "it is cut off behind its beginning".to_owned()),
        (vec![0; 10_240], "it ends where index.json should be".into()),
        (whole[..whole.len() - 600].to_vec(), "it is cut off behind sha256/".into()),
        (whole[..whole.len() - 1].to_vec(), "it is cut off behind its last member".into()),
        (longer, "512 bytes stand behind its end mark".into()),
        (headed(0, named("./index.json")), "where index.json should be there is \"./index.json\"".into()),
        (headed(2, named("../../etc/passwd")), format!("where {first} should be there is \"../../etc/passwd\"")),
        (headed(2, named("/etc/passwd")), format!("where {first} should be there is \"/etc/passwd\"")),
        (headed(2, kind(b'2')), format!("{first:?} is a link, where the file {first} should be")),
        (headed(2, kind(b'1')), format!("{first:?} is a link, where")),
        (headed(2, kind(b'3')), format!("{first:?} is a device, where")),
        (headed(2, kind(b'5')), format!("{first:?} is a folder, where")),
        (headed(2, kind(b'x')), format!("{first:?} is an extension of tar, where")),
        (headed(0, kind(b'L')), "\"index.json\" is an extension of tar, where".into()),
        (headed(2, kind(0)), format!("{first:?} is of an unknown kind, where")),
        (
            headed(2, |block| block[106] = b'7'),
            format!("the header of {first} is not as anymetal writes it: the mode (byte 106"),
        ),
        (
            headed(2, |block| block[114] = b'1'),
            format!("the header of {first} is not as anymetal writes it: the owner"),
        ),
        (headed(2, |block| block[146] = b'1'), format!("the header of {first} is not as anymetal writes it: the time")),
        (headed(2, |block| block[265] = b'r'), "what should be empty (byte 265 of it)".into()),
        (headed(2, |block| block[345] = b'/'), "what should be empty (byte 345 of it)".into()),
        // GNU's form of sizes over eight gibibytes
        (headed(2, |block| block[124] = 0x80), format!("the size of {first} is no octal number of eleven digits")),
        (
            headed(0, |block| block[124..135].fill(b'7')),
            "index.json has 8589934591 bytes, and at most 4194304 are read".into(),
        ),
        (
            headed(1, |block| block[124..135].copy_from_slice(b"00001000000")),
            "release.json is cut off: it has 262144 bytes, and ".into(),
        ),
        (swapped(0, 1), "where index.json should be there is \"release.json\"".into()),
        (swapped(2, 3), "there is \"sha256/".into()),
        (twice, "which the index does not name".into()),
        (without, "it ends where sha256/".into()),
        (
            indexed(|index| index.kind = "anymetal.plan".into()),
            "index.json is of kind \"anymetal.plan\", not \"anymetal.bundle\"".into(),
        ),
        (indexed(|index| index.version = 2), "index.json has version 2, and version 1 is read".into()),
        (indexed(|index| index.blobs.swap(0, 1)), "index.json does not name its blobs by digest, each once".into()),
        (
            indexed(|index| index.blobs[0] = index.blobs[1].clone()),
            "index.json does not name its blobs by digest, each once".into(),
        ),
        (indexed(|index| index.blobs[0].size += 1), format!("{first} has ")),
        (indexed(|index| index.blobs[0].size = u64::MAX), "bytes, the index says 18446744073709551615".into()),
        (indexed(|index| index.release = digest(b"other")), "release.json has other bytes: sha256 ".into()),
        (indexed(|index| index.plan = digest(b"other")), format!("its release pins {}", digest(PLAN_TEXT))),
        (indexed(|index| index.site = "other".into()), "is of the site \"other\", its release of \"demo\"".into()),
        (
            indexed(|index| _ = index.inits.insert(Arch::X86_64, digest(&[7; 512]))),
            "names another anymetal-init than its release pins".into(),
        ),
        (
            indexed(|index| index.blobs.retain(|blob| blob.sha256 != digest(PLAN_TEXT))),
            "names a plan that is not among its blobs".into(),
        ),
        (
            indexed(|index| _ = index.inits.insert(Arch::Aarch64, digest(b"other"))),
            "an init for aarch64 that is not among its blobs".into(),
        ),
    ] {
        let error = format!("{:#}", open(&bytes).expect_err(&sentence));
        assert!(error.contains(&sentence), "expected {sentence:?} in {error:?}");
    }
}

#[test]
fn every_changed_bit_outside_of_the_blobs_is_refused_or_in_a_name_for_people() {
    let members = good();
    let bytes = packed(&members);
    let content =
        |of: usize| packed(&members[..of]).len() - END.len() + BLOCK..packed(&members[..=of]).len() - END.len();
    for at in 0..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        let blob =
            (2..members.len()).any(|of| content(of).contains(&at) && at < content(of).start + members[of].1.len());
        match open(&other) {
            Err(error) => assert!(!blob, "byte {at}: {error:#}"),
            Ok(bundle) => {
                let named = bundle.index().blobs.iter().any(|blob| blob.name != "a thing");
                assert!(blob || named, "byte {at} of {}", bytes.len());
            }
        }
    }
}

#[test]
fn a_bundle_that_becomes_shorter_is_an_error_and_no_end() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&packed(&good())).unwrap();
    let bundle = Bundle::open(file.try_clone().unwrap()).unwrap();
    file.set_len(100).unwrap();
    let error = bundle.blob(&digest(ONE)).unwrap().read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..3000)) {
        let _either = open(&bytes);
    }

    #[test]
    fn no_changes_of_a_good_one_make_the_reader_panic(
        changes in prop::collection::vec((0usize..8000, any::<u8>()), 1..8), cut in 0usize..8000, member in 0usize..5, field in 0usize..500,
        byte in any::<u8>(),
    ) {
        let mut bytes = headed(member, |block| block[field] = byte);
        let _either = open(&bytes);
        for (at, byte) in changes {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        bytes.truncate(cut);
        let _either = open(&bytes);
    }
}
