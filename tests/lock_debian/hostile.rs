//! Archives that lie: about who they are, about when they were made, about their files. Each is refused with a sentence.
//! May not accept another reason than the one that is told beside it.

use std::collections::BTreeMap;

use anymetal_lab::archive::{gzip, sha256};
use anymetal_lab::debian::{Suite, xz};
use anymetal_lab::openpgp::Key;

use crate::lab::{DATE, Lab, SECURITY, UPSTREAM, suites};

const RELEASE: &str = "reading http://deb.example/debian/dists/bookworm/InRelease: ";

/// The lab with an `InRelease` of this main suite, signed.
fn with_main(suite: &Suite) -> Lab {
    let mut lab = Lab::new();
    let key = lab.key.clone();
    lab.files.get_mut(UPSTREAM).unwrap().extend(suite.files(&|text| key.clearsigned(text)));
    lab
}

fn main_suite() -> Suite {
    let [(_, main), _] = suites();
    main
}

#[test]
fn only_a_key_that_is_known_signs_an_index() {
    let mut lab = Lab::new();
    let other = Key::make(13, "somebody");
    let files = main_suite().files(&|text| other.clearsigned(text));
    lab.files.get_mut(UPSTREAM).unwrap().extend(files);
    let error = lab.refused("bird2");
    let (known, found) = (lab.key.fingerprint(), other.fingerprint());
    assert_eq!(
        error,
        format!(
            "{RELEASE}checking its signature: it is signed by the key {found}, and the only keys known are {known}"
        )
    );
}

#[test]
fn a_release_with_a_changed_byte_or_without_a_signature_is_refused() {
    let mut lab = Lab::new();
    let path = "dists/bookworm/InRelease";
    let signed = String::from_utf8(lab.files[UPSTREAM][path].clone()).unwrap();
    let digest = sha256(&lab.files[UPSTREAM]["dists/bookworm/main/binary-amd64/Packages.xz"]);
    lab.replace(UPSTREAM, path, signed.replace(digest.as_str(), &"0".repeat(64)).into_bytes());
    let error = lab.refused("bird2");
    assert!(error.contains("checking its signature") && error.contains("one of the two was changed"), "{error}");
    for other in [b"Codename: bookworm\n".to_vec(), Vec::new(), vec![0xff; 99]] {
        lab.replace(UPSTREAM, path, other);
        let error = lab.refused("bird2");
        assert!(error.starts_with(RELEASE), "{error}");
    }
    lab.replace(UPSTREAM, path, vec![b'x'; (1 << 20) + 1]);
    let error = lab.refused("bird2");
    assert_eq!(
        error,
        "fetching http://deb.example/debian/dists/bookworm/InRelease: \
         http://deb.example/debian/dists/bookworm/InRelease is longer than 1048576 bytes"
    );
}

#[test]
fn the_index_of_another_suite_does_not_pass_for_this_one() {
    let mut lab = Lab::new();
    let security = lab.files[SECURITY]["dists/bookworm-security/InRelease"].clone();
    lab.replace(UPSTREAM, "dists/bookworm/InRelease", security);
    assert_eq!(lab.refused("bird2"), format!("{RELEASE}it is the index of bookworm-security, not of bookworm"));
}

#[test]
fn what_a_release_says_of_itself_must_be_there_and_readable() {
    for (field, value, expected) in [
        (
            "Valid-Until",
            "Sat, 17 Feb 2024 11:07:25 UTC",
            "the index of bookworm expired on Sat, 17 Feb 2024 11:07:25 UTC\n\
             hint: ask another mirror, as this one is behind; or check this machine's clock",
        ),
        (
            "Valid-Until",
            "tomorrow",
            "reading its Valid-Until: \"tomorrow\" is no date as in \"Sat, 11 Jul 2026 10:16:37 UTC\"",
        ),
        ("Date", "", "reading its Date: \"\" is no date as in \"Sat, 11 Jul 2026 10:16:37 UTC\""),
        ("Codename", "trixie", "it is the index of trixie, not of bookworm"),
    ] {
        assert_eq!(with_main(&main_suite().field(field, value)).refused("bird2"), format!("{RELEASE}{expected}"));
    }
    let mut suite = main_suite();
    suite.fields.retain(|(name, _)| name != "Date");
    assert_eq!(with_main(&suite).refused("bird2"), format!("{RELEASE}it has no Date"));
    suite = main_suite();
    suite.fields.push((String::new(), "a stanza of its own\n\nAnother: one".into()));
    assert!(with_main(&suite).refused("bird2").starts_with(RELEASE));
}

#[test]
fn an_older_index_than_the_locked_one_is_a_downgrade() {
    let mut lab = Lab::new();
    lab.previous = Some(lab.resolve("bird2").unwrap());
    assert!(lab.resolve("bird2").is_ok(), "the same index is none");
    let newer = "Sun, 11 Feb 2024 11:07:25 UTC";
    lab.previous.as_mut().unwrap().suites.get_mut("bookworm").unwrap().date = newer.into();
    let expected = format!(
        "{RELEASE}the index of bookworm is of {DATE}, and the lock was made from one of {newer}\n\
         hint: ask another mirror, as this one is behind, or somebody plays back an old index"
    );
    assert_eq!(lab.refused("bird2"), expected);
}

#[test]
fn an_index_that_is_not_the_one_listed_is_refused() {
    let path = |form: &str| format!("dists/bookworm/main/binary-amd64/Packages.{form}");
    let reading = "reading the index of bookworm for amd64: \
                   fetching http://deb.example/debian/dists/bookworm/main/binary-amd64/Packages.xz: ";
    let mut lab = Lab::changed(|suite| suite.by_hash = false);
    let right = lab.files[UPSTREAM][&path("xz")].clone();
    let mut wrong = right.clone();
    wrong[40] ^= 1;
    lab.replace(UPSTREAM, &path("xz"), wrong.clone());
    let hint = "hint: ask again later, when the mirror is up to date; or ask another";
    let (found, said) = (sha256(&wrong), sha256(&right));
    assert_eq!(lab.refused("bird2"), format!("{reading}its sha256 is {found}, and the release says {said}\n{hint}"));
    let half = right.len() / 2;
    lab.replace(UPSTREAM, &path("xz"), right[..half].to_vec());
    assert_eq!(
        lab.refused("bird2"),
        format!("{reading}it has {half} bytes, and the release says {}\n{hint}", right.len())
    );
    lab.replace(UPSTREAM, &path("xz"), [right.as_slice(), b"more"].concat());
    assert!(lab.refused("bird2").contains(&format!("Packages.xz is longer than {} bytes", right.len())));
}

#[test]
fn a_bomb_is_not_unpacked_beyond_what_is_listed() {
    // A release that a right key signed, and still 64 MiB of nothing in a small index.
    let zeros = vec![0; 64 << 20];
    for (form, bomb) in [("gz", gzip(&zeros)), ("xz", xz(&zeros))] {
        for listed in [Some(1000), None, Some(1_u64 << 40)] {
            let mut lab = Lab::new();
            let plain = listed
                .map_or_else(String::new, |size| format!(" {} {size} main/binary-amd64/Packages\n", "0".repeat(64)));
            let path = format!("main/binary-amd64/Packages.{form}");
            let release =
                format!("Codename: bookworm\nDate: {DATE}\nSHA256:\n{plain} {} {} {path}\n", sha256(&bomb), bomb.len());
            lab.replace(UPSTREAM, "dists/bookworm/InRelease", lab.key.clearsigned(&release).into_bytes());
            lab.replace(UPSTREAM, &format!("dists/bookworm/{path}"), bomb.clone());
            let error = lab.refused("bird2");
            let expected = match listed {
                Some(1000) => "unpacked it has more than the 1000 bytes it may have",
                Some(_) => "main/binary-amd64/Packages has 1099511627776 bytes, more than 268435456",
                // Within bounds; and nothing of an index.
                None => "reading the index of bookworm: ",
            };
            assert!(error.contains(expected) && error.len() < 1000, "{form} {listed:?}: {error:.300}");
        }
    }
}

#[test]
fn an_index_that_leads_out_of_the_archive_is_refused() {
    let [(_, main), _] = suites();
    for (old, new, expected) in [
        ("Filename: pool/", "Filename: ../pool/", "is no path of a .deb below the archive"),
        ("Filename: pool/", "Filename: pool/../../pool/", "is no path of a .deb below the archive"),
        ("Filename: pool/", "File: pool/", "it has no `Filename`"),
        ("Package: libssh", "Pack: libssh", "it has a stanza without `Package`"),
        ("\nVersion: 0.10.6", "", "libssh-gcrypt-4 (>= 0.8.0), which the archive does not have"),
        (
            "\nPackage: libssh",
            "\nno field at all\nPackage: libssh",
            "reading its stanzas: Unexpected token: no field at all",
        ),
    ] {
        let text = main.packages("amd64").replace(old, new);
        let mut lab = Lab::new();
        let key = lab.key.clone();
        let indexes = BTreeMap::from([("amd64".to_owned(), text)]);
        lab.files.get_mut(UPSTREAM).unwrap().extend(main.files_with(&indexes, &|text| key.clearsigned(text)));
        let error = lab.refused("bird2");
        assert!(error.contains(expected), "{new}: {error}");
    }
}
