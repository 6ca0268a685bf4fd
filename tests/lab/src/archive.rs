//! Makers of archives, good and hostile: what they are told to write, they write, whatever it is.
//! May not refuse anything: that is for the readers under test.

use std::io::{Cursor, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::Digest as _;
use zip::write::SimpleFileOptions;

/// One member of an archive.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name, as it is.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its content.
    pub body: Vec<u8>,
}

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link to this.
    Symlink(String),
    /// A hard link to this.
    Hardlink(String),
    /// Any other kind of tar, by its type byte: `3` a character device, `6` a pipe.
    Type(u8),
}

impl Entry {
    /// A file.
    pub fn file(name: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), kind: Kind::File, body: body.into() }
    }

    /// A member without content.
    pub fn bare(name: &str, kind: Kind) -> Self {
        Self { name: name.into(), kind, body: Vec::new() }
    }
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64*, as Marsaglia and Vigna have it.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The sha256 of these bytes.
pub fn sha256(bytes: &[u8]) -> anymetal_contract::Digest {
    anymetal_contract::Digest::of(sha2::Sha256::digest(bytes).into())
}

/// A tar archive with its end mark.
pub fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        archive.extend(tar_member(entry));
    }
    archive.extend([0; 1024]);
    archive
}

/// One member of a tar archive: header, content, padding. A long name goes before it, the GNU way.
pub fn tar_member(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    if entry.name.len() > 100 {
        let long =
            Entry { name: "././@LongLink".into(), kind: Kind::Type(b'L'), body: entry.name.clone().into_bytes() };
        bytes.extend(tar_member(&long));
    }
    let mut header = tar::Header::new_gnu();
    let raw = header.as_gnu_mut().expect("it was made so");
    let length = entry.name.len().min(100);
    raw.name[..length].copy_from_slice(&entry.name.as_bytes()[..length]);
    let (kind, target) = match &entry.kind {
        Kind::File => (b'0', None),
        Kind::Directory => (b'5', None),
        Kind::Symlink(target) => (b'2', Some(target)),
        Kind::Hardlink(target) => (b'1', Some(target)),
        Kind::Type(byte) => (*byte, None),
    };
    if let Some(target) = target {
        raw.linkname[..target.len()].copy_from_slice(target.as_bytes());
    }
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_mode(0o600);
    header.set_size(entry.body.len() as u64);
    header.set_cksum();
    bytes.extend(header.as_bytes());
    bytes.extend(&entry.body);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// A gzipped tar archive.
pub fn tar_gz(entries: &[Entry]) -> Vec<u8> {
    gzip(&tar(entries))
}

/// A zip archive of one program of noise, of exactly so many bytes, 1000 at least.
pub fn zip_of(member: &str, length: usize, seed: u64) -> Vec<u8> {
    let mut archive = zip(&[Entry::file(member, noise(length - 600 - length / 1000, seed))]);
    // a comment is the archive's own padding, and its length stands in the last two bytes before it
    let comment = u16::try_from(length - archive.len()).expect("noise grows by some bytes only");
    let end = archive.len() - 2;
    archive[end..].copy_from_slice(&comment.to_le_bytes());
    archive.resize(length, b' ');
    archive
}

/// A gzipped tar archive of one program of noise, of exactly so many bytes, 1000 at least: zeros behind the stream are padding.
pub fn tar_gz_of(member: &str, length: usize, seed: u64) -> Vec<u8> {
    let mut archive = tar_gz(&[Entry::file(member, noise(length - 600 - length / 1000, seed))]);
    assert!(archive.len() <= length, "noise grows by some bytes only");
    archive.resize(length, 0);
    archive
}

/// A zip archive with sizes in its local headers.
pub fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip_entries(&mut writer, entries);
    writer.finish().expect("memory takes it").into_inner()
}

/// A zip archive as it is written in one go, with data descriptors behind the members, as those of Go programs are.
pub fn zip_streamed(entries: &[Entry]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new_stream(Vec::new());
    zip_entries(&mut writer, entries);
    writer.finish().expect("memory takes it").into_inner()
}

fn zip_entries<W: std::io::Write + std::io::Seek>(writer: &mut zip::ZipWriter<W>, entries: &[Entry]) {
    let options = SimpleFileOptions::default().unix_permissions(0o600);
    for entry in entries {
        match &entry.kind {
            Kind::File => {
                writer.start_file(entry.name.as_str(), options).expect("it is a name");
                writer.write_all(&entry.body).expect("memory takes it");
            }
            Kind::Directory => writer.add_directory(entry.name.as_str(), options).expect("it is a name"),
            Kind::Symlink(target) => {
                writer.add_symlink(entry.name.as_str(), target.as_str(), options).expect("it is a name");
            }
            Kind::Hardlink(_) | Kind::Type(_) => panic!("a zip has no such member"),
        }
    }
}

/// Replaces the only, or the `place`th, occurrence of some bytes by as many others.
pub fn patched(mut archive: Vec<u8>, old: &[u8], new: &[u8], place: usize) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "a patch keeps the length");
    let found = archive.windows(old.len()).enumerate().filter(|(_, window)| *window == old).nth(place);
    let (at, _) = found.expect("what is to be patched is there");
    archive[at..at + new.len()].copy_from_slice(new);
    archive
}
