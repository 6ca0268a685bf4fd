//! Archives that no node could install: the desk opens them as a node does, and says so.
//! May not install anything.

use std::fs;

use anymetal_lab::archive::{Entry, Kind, gzip, noise, patched, tar, tar_gz, zip};

use crate::desk::{Blob, Desk, Ran, good, platform};

/// A program of that kind of machine, by its number in `elf.h`.
fn elf(machine: u8) -> Vec<u8> {
    [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[2, 0, machine, 0], &noise(500, 1)].concat()
}

fn traefik(bytes: Vec<u8>) -> Blob {
    Blob::packed("traefik", "2.11.55", "x86_64", bytes)
}

fn consul(bytes: Vec<u8>) -> Blob {
    Blob::packed("consul", "1.21.5", "x86_64", bytes)
}

/// A desk whose site has this archive, and what `fetch` does there.
fn fetched(blob: &Blob) -> (Desk, Ran) {
    // a site of Consul alone, or of everything
    let mut blobs = if blob.component == "consul" { vec![blob.clone()] } else { platform(2000) };
    blobs.iter_mut().filter(|other| other.name == blob.name).for_each(|other| *other = blob.clone());
    let server = good(&blobs);
    let desk = Desk::new(&blobs, &[&server.url()]);
    let ran = desk.fetch(&[]);
    (desk, ran)
}

/// Each was pinned and passed every command at the desk; every node stopped in `install`.
#[test]
fn an_archive_that_no_node_can_install_is_named() {
    let plain = zip(&[Entry::file("consul", noise(2000, 2))]);
    let count = plain.len() - 12;
    let mut end64 = plain.clone();
    end64[count..count + 2].copy_from_slice(&[0xff, 0xff]);
    let lzma = patched(patched(plain.clone(), b"\x08\0", b"\x0e\0", 0), b"\x08\0", b"\x0e\0", 0);
    let xz = [&b"\xfd7zXZ\0"[..], &noise(1000, 3)].concat();
    for (blob, why) in [
        (consul(end64), "the archive is of the 64-bit kind of zip"),
        (consul(lzma), "the member \"consul\" is compressed by a method other than deflate"),
        (consul(zip(&[Entry::file("bin/consul", "x")])), "\"consul\" is not in the archive, which has bin/consul"),
        (consul(zip(&[Entry::file("consul", elf(183))])), "the program \"consul\" in the archive is for aarch64"),
        (
            consul(b"<html>log in</html>".to_vec()),
            "the archive is a page or another text that begins with `<`, not a zip archive",
        ),
        (traefik(xz), "the archive is packed by xz, not a tar archive in gzip"),
        (
            traefik(tar(&[Entry::file("traefik", "x")])),
            "the archive is a tar archive without gzip, not a tar archive in gzip",
        ),
        (
            traefik(tar_gz(&[Entry::file("traefik_2/traefik", "x")])),
            "\"traefik\" is not in the archive, which has traefik_2/traefik",
        ),
        (
            traefik(tar_gz(&[Entry::bare("traefik", Kind::Symlink("x".into()))])),
            "\"traefik\" is a link in the archive, not a file",
        ),
        (
            traefik([gzip(&tar(&[Entry::file("traefik", "x")])), b"signature".to_vec()].concat()),
            "the archive goes on behind its gzip stream",
        ),
    ] {
        let (desk, ran) = fetched(&blob);
        let sentence = format!("anymetal: no node can install {}, sha256 {}: {why}\n", blob.name, blob.hex());
        let end = "anymetal: 1 archive cannot be installed\nhint: pin an archive as upstream packs it";
        assert!(ran.stderr.contains(&sentence) && ran.stderr.contains(end), "{why}: {}", ran.stderr);
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        // it is there, and every command that would hand it on says so again
        assert_eq!(fs::read(desk.blob(&blob)).unwrap(), blob.bytes);
        for words in [
            &["build", "site.yaml", "-o", "out", "--form", "plan", "--cache", "cache"][..],
            &["fetch", "site.yaml", "--cache", "cache"],
        ] {
            let ran = desk.run(words);
            assert!(ran.stderr.contains(&sentence) && ran.code == Some(1), "{words:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_a_node_can_install_is_opened_once() {
    let comment = b"52 comment=0123456789012345678901234567890123456789\n";
    let global = Entry { name: "pax_global_header".into(), kind: Kind::Type(b'g'), body: comment.to_vec() };
    for blob in [
        traefik(tar_gz(&[global, Entry::file("traefik", elf(62))])),
        traefik(tar_gz(&[Entry::file("LICENSE", "x"), Entry::file("traefik", "#!/bin/sh\n")])),
        consul(zip(&[Entry::file("LICENSE.txt", "x"), Entry::file("consul", elf(62))])),
    ] {
        let (desk, ran) = fetched(&blob);
        ran.done();
        // what was good is not looked at again: nobody reads these bytes
        fs::write(desk.blob(&blob), vec![7; blob.bytes.len()]).unwrap();
        desk.fetch(&[]).done();
    }
}
