//! What hostile and broken archives try, one test each with the sentence shown, and arbitrary bytes as archives.
//! Nothing here touches a disk: archives are bytes, and what is taken out of them goes into a map.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use anymetal_contract::plan::{Format, Member};
use anymetal_lab::archive::{Entry, Kind, gzip, noise, patched, tar, tar_gz, tar_member, zip, zip_streamed};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use crate::unpack::{Sink, unpack, unreadable};
use anymetal_supply::failure::Failure;

#[derive(Default)]
struct Taken(BTreeMap<String, Vec<u8>>);

impl Sink for Taken {
    fn file(&mut self, member: &Member, from: &mut dyn Read) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        self.0.insert(member.file.clone(), bytes);
        Ok(())
    }
}

/// What is taken out when the member `consul` is asked for, or the reason and the sentence.
fn take(format: Format, archive: &[u8]) -> Result<Vec<u8>, String> {
    let members = [Member { member: "consul".into(), file: "program".into(), executable: true }];
    let mut taken = Taken::default();
    match unpack(Cursor::new(archive), format, &members, &mut taken) {
        Ok(()) => Ok(taken.0.remove("program").expect("a good end means that the member was there")),
        Err(failure) => Err(format!("{}: {}", failure.reason, failure.chain())),
    }
}

#[track_caller]
fn refused(format: Format, archive: &[u8], sentence: &str) {
    assert_eq!(take(format, archive), Err(sentence.to_owned()));
}

fn consul() -> Entry {
    Entry::file("consul", "program")
}

/// The asked-for member, then this one: what nobody asked for is refused all the same.
#[track_caller]
fn tar_with(entry: Entry, sentence: &str) {
    refused(Format::TarGz, &tar_gz(&[consul(), entry]), sentence);
}

#[track_caller]
fn zip_with(entry: Entry, sentence: &str) {
    refused(Format::Zip, &zip(&[consul(), entry]), sentence);
}

#[test]
fn good_archives_give_the_member() {
    let body = noise(200_000, 1);
    let entries =
        [Entry::file("LICENSE.txt", "words"), Entry::bare("d/", Kind::Directory), Entry::file("consul", body.clone())];
    for (format, archive) in
        [(Format::Zip, zip(&entries)), (Format::Zip, zip_streamed(&entries)), (Format::TarGz, tar_gz(&entries))]
    {
        assert!(take(format, &archive).as_deref() == Ok(&body), "{format:?}");
    }
    let long = Entry::file(&"x".repeat(300), "long");
    assert!(take(Format::TarGz, &tar_gz(&[long, consul()])).is_ok());
    let parts = tar(&[consul()]);
    let two = [gzip(&parts[..700]), gzip(&parts[700..])].concat();
    assert!(take(Format::TarGz, &two).is_ok(), "gzip members one behind the other are one stream");
    assert_eq!(take(Format::Zip, &zip(&[Entry::file("consul", "")])), Ok(vec![]));
}

#[test]
fn absolute_paths() {
    let sentence = "archive-hostile: the member \"/etc/cron.d/x\" has an absolute path";
    tar_with(Entry::file("/etc/cron.d/x", "x"), sentence);
    zip_with(Entry::file("/etc/cron.d/x", "x"), sentence);
}

#[test]
fn paths_that_climb() {
    let sentence = "archive-hostile: the member \"a/../../x\" climbs out of its folder";
    tar_with(Entry::file("a/../../x", "x"), sentence);
    zip_with(Entry::file("a/../../x", "x"), sentence);
    zip_with(Entry::file("..\\x", "x"), "archive-hostile: the member \"..\\\\x\" climbs out of its folder");
}

#[test]
fn links_out() {
    tar_with(
        Entry::bare("d/l", Kind::Symlink("../../etc".into())),
        "archive-hostile: the member \"d/l\" is a link out of the archive, to \"../../etc\"",
    );
    tar_with(
        Entry::bare("l", Kind::Symlink("/etc/shadow".into())),
        "archive-hostile: the member \"l\" is a link out of the archive, to \"/etc/shadow\"",
    );
    tar_with(
        Entry::bare("h", Kind::Hardlink("/etc/shadow".into())),
        "archive-hostile: the member \"h\" is a link out of the archive, to \"/etc/shadow\"",
    );
    zip_with(Entry::bare("l", Kind::Symlink("/etc".into())), "archive-hostile: the member \"l\" is a link");
}

#[test]
fn devices_pipes_and_unknown_kinds() {
    for (byte, words) in [
        (b'3', "a device"),
        (b'4', "a device"),
        (b'6', "a pipe"),
        (b'8', "of the unknown kind '8'"),
        (b'M', "the rest of a file of another volume"),
    ] {
        tar_with(Entry::bare("n", Kind::Type(byte)), &format!("archive-hostile: the member \"n\" is {words}"));
    }
    // The upper half of the external attributes is the mode: a regular file made a device.
    let good = zip(&[consul()]);
    let device = patched(good.clone(), &0o100_600_u16.to_le_bytes(), &0o020_600_u16.to_le_bytes(), 0);
    refused(Format::Zip, &device, "archive-hostile: the member \"consul\" is a device");
}

#[test]
fn a_member_that_is_not_a_file() {
    for (kind, words) in [
        (Kind::Directory, "a folder in the archive, not a file"),
        (Kind::Symlink("other".into()), "a link in the archive, not a file"),
        (Kind::Hardlink("other".into()), "a link in the archive, not a file"),
    ] {
        let archive = tar_gz(&[Entry::file("other", "x"), Entry::bare("consul", kind)]);
        refused(Format::TarGz, &archive, &format!("archive-broken: \"consul\" is {words}"));
    }
    let archive = zip(&[Entry::bare("consul/", Kind::Directory)]);
    refused(Format::Zip, &archive, "archive-broken: \"consul\" is a folder in the archive, not a file");
}

#[test]
fn the_member_twice() {
    refused(
        Format::TarGz,
        &tar_gz(&[consul(), Entry::file("./consul", "other")]),
        "archive-hostile: the member \"consul\" is in the archive twice",
    );
    let two = zip(&[consul(), Entry::file("consuL", "other")]);
    let twice = patched(patched(two, b"consuL", b"consul", 0), b"consuL", b"consul", 0);
    refused(Format::Zip, &twice, "archive-hostile: two members of the archive have the same name");
    refused(
        Format::Zip,
        &zip(&[consul(), Entry::file("./consul", "other")]),
        "archive-hostile: the member \"consul\" is in the archive twice",
    );
}

#[test]
fn bombs() {
    let zeros = vec![0; 16 << 20];
    refused(
        Format::TarGz,
        &tar_gz(&[consul(), Entry::file("zeros", zeros.clone())]),
        "archive-hostile: the archive unpacks to more than 200 times its size",
    );
    refused(
        Format::Zip,
        &zip(&[consul(), Entry::file("zeros", zeros)]),
        "archive-hostile: the archive unpacks to more than 200 times its size (by the member \"zeros\")",
    );
    let small = zip(&[Entry::file("consul", vec![0; 1_000_000])]);
    let size = 1_000_000_u32.to_le_bytes();
    let liar = patched(patched(small, &size, &10_u32.to_le_bytes(), 0), &size, &10_u32.to_le_bytes(), 0);
    refused(
        Format::Zip,
        &liar,
        "archive-broken: the archive is damaged (File is larger than its declared uncompressed size)",
    );
}

#[test]
fn bombs_behind_the_end_mark() {
    let mut archive = tar(&[consul()]);
    archive.resize(16 << 20, 0);
    refused(Format::TarGz, &gzip(&archive), "archive-hostile: the archive unpacks to more than 200 times its size");
}

#[test]
fn too_many_members() {
    let mut archive = tar_member(&consul());
    let one = tar_member(&Entry::file("x", ""));
    for _ in 0..10_000 {
        archive.extend(&one);
    }
    refused(Format::TarGz, &gzip(&archive), "archive-hostile: the archive has more than 10000 members");
    let many: Vec<_> = (0..10_001).map(|number| Entry::file(&number.to_string(), "")).collect();
    refused(
        Format::Zip,
        &zip(&many),
        "archive-hostile: the archive has more than 10000 members, or a directory of more than 2 MiB",
    );
}

#[test]
fn headers_that_are_huge() {
    let long = Entry { name: "././@LongLink".into(), kind: Kind::Type(b'L'), body: noise(1 << 20, 3) };
    tar_with(long, "archive-hostile: a member's header is longer than 64 KiB");
    let attributes = Entry { name: "x".into(), kind: Kind::Type(b'x'), body: noise(1 << 20, 4) };
    tar_with(attributes, "archive-hostile: a member's header is longer than 64 KiB");
    tar_with(Entry::file(&"y".repeat(5000), "x"), "archive-hostile: a member's name is 5000 bytes long");
}

#[test]
fn sparse_files() {
    let pax = Entry { name: "p".into(), kind: Kind::Type(b'x'), body: b"22 GNU.sparse.major=1\n".to_vec() };
    let archive = tar_gz(&[consul(), pax, Entry::file("hole", "x")]);
    refused(Format::TarGz, &archive, "archive-hostile: the member \"hole\" is a sparse file");
}

#[test]
fn encrypted_members() {
    // Bit 0 of the flags, in the local header and in the directory (APPNOTE 4.4.4).
    let mut archive = zip(&[consul()]);
    for signature in [b"PK\x03\x04", b"PK\x01\x02"] {
        let at = archive.windows(4).position(|window| window == signature).unwrap();
        archive[at + if signature[2] == 3 { 6 } else { 8 }] |= 1;
    }
    refused(Format::Zip, &archive, "archive-hostile: the member \"consul\" is encrypted");
}

#[test]
fn a_local_name_that_is_not_the_directorys() {
    let archive = patched(zip(&[consul()]), b"consul", b"passwd", 0);
    let error = take(Format::Zip, &archive).unwrap_err();
    assert!(error.starts_with("archive-hostile: the archive says two things about one member ("), "{error}");
    assert!(error.contains("filename mismatch"), "{error}");
}

#[test]
fn bytes_that_belong_to_no_member() {
    let archive = zip(&[consul(), Entry::file("hidden", "x")]);
    // A directory that leaves out the second member, although it is there.
    let second = archive.windows(4).enumerate().filter(|(_, window)| window == b"PK\x01\x02").nth(1).unwrap().0;
    let end = archive.windows(4).rposition(|window| window == b"PK\x05\x06").unwrap();
    let mut hiding = [&archive[..second], &archive[end..]].concat();
    let record = second;
    let removed = u32::try_from(end - second).unwrap();
    let size = u32::from_le_bytes(hiding[record + 12..record + 16].try_into().unwrap()) - removed;
    hiding[record + 12..record + 16].copy_from_slice(&size.to_le_bytes());
    hiding[record + 8] = 1;
    hiding[record + 10] = 1;
    refused(Format::Zip, &hiding, "archive-hostile: the archive has bytes that belong to no member");
    let prefixed = [b"#!/bin/sh\n".as_slice(), &archive].concat();
    refused(Format::Zip, &prefixed, "archive-hostile: the archive's directory is not where its end record says");
}

#[test]
fn truncated_anywhere() {
    let entries = [Entry::file("a", noise(3000, 5)), Entry::file("consul", noise(3000, 6))];
    for (format, archive) in [(Format::Zip, zip(&entries)), (Format::TarGz, tar_gz(&entries))] {
        for length in (0..archive.len()).step_by(7) {
            let error = take(format, &archive[..length]).expect_err("a part is not the whole");
            assert!(error.starts_with("archive-broken: "), "{format:?} cut at {length}: {error}");
        }
    }
    let whole = tar(&entries);
    for length in [512, 3584, 4096, 7168] {
        let error = take(Format::TarGz, &gzip(&whole[..length])).expect_err("it has no end mark");
        assert!(error.starts_with("archive-broken: the archive ends too early"), "cut at {length}: {error}");
    }
}

#[test]
fn trailing_bytes() {
    refused(
        Format::Zip,
        &[zip(&[consul()]), b"trailing".to_vec()].concat(),
        "archive-broken: the archive goes on behind its end record",
    );
    refused(
        Format::TarGz,
        &[tar_gz(&[consul()]), b"trailing bytes".to_vec()].concat(),
        "archive-broken: the archive goes on behind its gzip stream",
    );
    refused(
        Format::TarGz,
        &gzip(&[tar(&[consul()]), tar_member(&Entry::file("late", "x"))].concat()),
        "archive-broken: the archive goes on behind its end mark",
    );
}

#[test]
fn a_flipped_bit() {
    let mut archive = zip(&[Entry::file("consul", noise(3000, 7))]);
    // Past the local header, in the middle of the data.
    archive[1500] ^= 1;
    let error = take(Format::Zip, &archive).unwrap_err();
    assert!(error.starts_with("archive-broken: the archive is damaged ("), "{error}");
    let mut archive = tar_gz(&[Entry::file("consul", noise(3000, 7))]);
    archive[1500] ^= 1;
    let error = take(Format::TarGz, &archive).unwrap_err();
    assert!(error.starts_with("archive-broken: "), "{error}");
}

#[test]
fn an_archive_of_the_other_format_and_a_missing_member() {
    refused(Format::Zip, b"PK", "archive-broken: the archive ends too early (it has no end record)");
    refused(Format::TarGz, b"nonsense, and more of it", "archive-broken: the archive is damaged (invalid gzip header)");
    for (format, archive) in
        [(Format::Zip, zip(&[Entry::file("nomad", "x")])), (Format::TarGz, tar_gz(&[Entry::file("nomad", "x")]))]
    {
        refused(format, &archive, "archive-broken: \"consul\" is not in the archive, which has nomad");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_never_an_archive_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        assert!(take(Format::Zip, &bytes).is_err());
        assert!(take(Format::TarGz, &bytes).is_err());
        // A tar archive of these bytes is past the gzip layer.
        assert!(take(Format::TarGz, &gzip(&bytes)).is_err());
    }

    #[test]
    fn a_good_archive_with_some_bytes_changed_gives_the_member_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let body = noise(700, 8);
        let entries = [Entry::file("a", "x"), Entry::file("consul", body.clone()), Entry::bare("d/", Kind::Directory)];
        let change = |mut bytes: Vec<u8>| {
            for (index, byte) in &changes {
                let at = index.index(bytes.len());
                bytes[at] = *byte;
            }
            bytes
        };
        for (format, archive) in [
            (Format::Zip, change(zip(&entries))),
            (Format::Zip, change(zip_streamed(&entries))),
            (Format::TarGz, change(tar_gz(&entries))),
        ] {
            // Checksums guard the content of both formats; what passes is what was packed.
            if let Ok(taken) = take(format, &archive) {
                assert!(taken == body, "{format:?} gave other bytes");
            }
        }
        // Below gzip nothing guards a tar's content: it must only not panic.
        let _either = take(Format::TarGz, &gzip(&change(tar(&entries))));
    }
}

/// As git archive, GNU tar and Solaris write them; GNU tar takes the program out of each.
#[test]
fn entries_that_are_no_members_are_passed_over() {
    let entry =
        |name: &str, kind: u8, body: &[u8]| Entry { name: name.into(), kind: Kind::Type(kind), body: body.into() };
    let comment = b"52 comment=0123456789012345678901234567890123456789\n";
    for (what, before) in [
        ("git's global header", vec![entry("pax_global_header", b'g', comment)]),
        ("two of them", vec![entry("pax_global_header", b'g', comment), entry("g", b'g', comment)]),
        ("one of more than a block", vec![entry("g", b'g', &b"11 a=aaaaa\n".repeat(200))]),
        ("a volume's name", vec![entry("Nightly of 2026-11-04", b'V', b"")]),
        ("a name that no member may have", vec![entry("/../x", b'g', comment), entry("/vol/1", b'V', b"")]),
        ("Solaris' words", vec![entry("PaxHeaders/consul", b'X', comment), entry("consul", b'A', b"acl")]),
        ("a folder with its list", vec![entry("bin/", b'D', b"Yconsul\0\0")]),
        ("AppleDouble", vec![Entry::file("._consul", "\0\x05\x16\x07"), Entry::file("__MACOSX/._consul", "\0")]),
        ("attributes of each file", vec![entry("PaxHeaders/consul", b'x', b"31 SCHILY.xattr.user.a=b value\n")]),
    ] {
        let archive = tar_gz(&[before, vec![consul()]].concat());
        assert_eq!(take(Format::TarGz, &archive).as_deref(), Ok(&b"program"[..]), "{what}");
    }
    let contiguous = tar_gz(&[entry("consul", b'7', b"program")]);
    assert_eq!(take(Format::TarGz, &contiguous).as_deref(), Ok(&b"program"[..]));
    let many = vec![entry("g", b'g', comment); 10_001];
    refused(Format::TarGz, &tar_gz(&many), "archive-hostile: the archive has more than 10000 members");
}

#[test]
fn what_stands_behind_the_gzip_stream_is_padding_or_named() {
    let whole = tar_gz(&[consul()]);
    let and = |more: &[u8]| [whole.as_slice(), more].concat();
    for padding in [vec![0; 1], vec![0; 511], vec![0; 100_000]] {
        assert_eq!(take(Format::TarGz, &and(&padding)).as_deref(), Ok(&b"program"[..]), "{} zeros", padding.len());
    }
    let sentence = "archive-broken: the archive goes on behind its gzip stream";
    let long = vec![7; 100_000];
    for more in [&b"x"[..], b"more", b"\0\0\0x", b"\x1fx", &long, b"-----BEGIN PGP SIGNATURE-----\n"] {
        refused(Format::TarGz, &and(more), sentence);
    }
    assert!(
        take(Format::TarGz, &and(&whole[..7])).unwrap_err().starts_with("archive-broken: the archive ends too early")
    );
}

#[test]
fn another_kind_of_file_is_named() {
    for (begins, what) in [
        (&b"\xfd7zXZ\0\0"[..], "packed by xz"),
        (b"BZh91AY", "packed by bzip2"),
        (b"\x28\xb5\x2f\xfd\0", "packed by zstd"),
        (b"\x7fELF\x02", "a program"),
        (b"!<arch>\ndebian-binary", "a Debian package"),
        (b"<!doctype html>", "a page or another text that begins with `<`"),
        (&tar(&[consul()]), "a tar archive without gzip"),
    ] {
        refused(Format::TarGz, begins, &format!("archive-broken: the archive is {what}, not a tar archive in gzip"));
        refused(Format::Zip, begins, &format!("archive-broken: the archive is {what}, not a zip archive"));
    }
    refused(Format::Zip, &tar_gz(&[consul()]), "archive-broken: the archive is packed by gzip, not a zip archive");
    refused(
        Format::TarGz,
        &zip(&[consul()]),
        "archive-broken: the archive is a zip archive, not a tar archive in gzip",
    );
}
