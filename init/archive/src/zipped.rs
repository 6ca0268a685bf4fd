//! A zip archive: its directory is read and judged whole, then the asked-for members are read.
//! May not judge names and sizes: `limits` does. May not trust the directory: every byte before it must belong to one member.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use anymetal_contract::plan::Member;
use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive, ZipReadOptions};

use crate::limits::{Census, Kind, MOST_ENTRIES, MOST_HEADER, bomb, broken, hostile};
use crate::unpack::{Exactly, Sink, unreadable};
use anymetal_supply::failure::Failure;

/// The end record of a zip archive, without its comment (APPNOTE 4.3.16).
const END: usize = 22;
/// The longest comment of an archive: its length is a 16-bit number.
const MOST_COMMENT: usize = 65_535;
/// The longest data descriptor, which may stand behind a member's data (APPNOTE 4.3.9.2: signature, checksum, two 64-bit sizes).
const MOST_DESCRIPTOR: u64 = 24;

/// Bytes of the directory, which is held in memory: room for the most members with names of a hundred bytes.
const MOST_DIRECTORY: u64 = 2 << 20;

/// What the end record says of the directory.
struct End {
    members: u64,
    directory: u64,
}

/// Where a member lies in the archive.
struct Extent {
    start: u64,
    end: u64,
    /// Whether a data descriptor may follow.
    described: bool,
}

pub(crate) fn unpack<R: BufRead + Seek>(
    mut archive: R,
    members: &[Member],
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let end = check_end(&mut archive)?;
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut zip = ZipArchive::with_config(config, archive).map_err(refused)?;
    if zip.has_duplicate_names() {
        return Err(hostile("two members of the archive have the same name"));
    }
    if zip.len() as u64 != end.members || zip.central_directory_start() != end.directory {
        return Err(hostile("the archive's directory is not what its end record says"));
    }
    let mut census = Census::of(members);
    let (mut asked, mut extents, mut unpacked) = (Vec::new(), Vec::new(), 0);
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(refused)?;
        unpacked = judge(&entry, unpacked)?;
        extents.push(extent(&entry)?);
        let runs = entry.unix_mode().is_some_and(|mode| mode & 0o100 != 0);
        if let Some(member) = census.meet(entry.name_raw(), &kind(&entry), runs)? {
            asked.push((member, index));
        }
    }
    census.close()?;
    check_extents(extents, end.directory)?;
    zip.validate_header_consistency().map_err(refused)?;
    for (member, index) in asked {
        let content = zip.by_index_with_options(index, ZipReadOptions::new()).map_err(refused)?;
        let size = content.size();
        sink.file(&member, &mut Exactly::new(content, size))?;
    }
    Ok(())
}

/// One entry of the directory by itself. Gives the sum of what the archive unpacks to so far.
fn judge<R: Read>(entry: &ZipFile<R>, before: u64) -> Result<u64, Failure> {
    let name = || format!("{:?}", String::from_utf8_lossy(&entry.name_raw()[..entry.name_raw().len().min(200)]));
    if entry.encrypted() {
        return Err(hostile(format!("the member {} is encrypted", name())));
    }
    if !matches!(entry.compression(), CompressionMethod::Stored | CompressionMethod::Deflated) {
        return Err(broken(format!("the member {} is compressed by a method other than deflate", name())));
    }
    if let Some(words) = bomb(entry.size(), entry.compressed_size()) {
        return Err(hostile(format!("{words} (by the member {})", name())));
    }
    let sum = before.saturating_add(entry.size());
    // The sum may only pass the absolute limit: the ratio was judged member by member.
    match bomb(sum, u64::MAX) {
        Some(words) => Err(hostile(words)),
        None => Ok(sum),
    }
}

fn kind<R: Read>(entry: &ZipFile<R>) -> Kind {
    const FORMAT: u32 = 0o170_000;
    match entry.unix_mode().unwrap_or(0) & FORMAT {
        // Programs that write no mode, or one without a kind, mark a folder only by a slash.
        0 | 0o100_000 | 0o040_000 if entry.is_dir() => Kind::Directory,
        0 | 0o100_000 => Kind::File,
        0o040_000 => Kind::Directory,
        // The target is the content. It is not read: no artefact of the field has links in a zip.
        0o120_000 => Kind::Other("a link".into()),
        0o020_000 | 0o060_000 => Kind::Other("a device".into()),
        0o010_000 => Kind::Other("a pipe".into()),
        other => Kind::Other(format!("of the unknown kind {other:o}")),
    }
}

fn extent<R: Read>(entry: &ZipFile<R>) -> Result<Extent, Failure> {
    let start = entry.header_start();
    let content = entry.data_start().ok_or_else(|| broken("the archive is damaged (a member has no content)"))?;
    if content.saturating_sub(start) > MOST_HEADER {
        return Err(hostile(format!("a member's header is longer than {} KiB", MOST_HEADER >> 10)));
    }
    let end = content.saturating_add(entry.compressed_size());
    Ok(Extent { start, end, described: entry.flags().is_using_data_descriptor() })
}

/// Every byte before the directory belongs to exactly one member: nothing overlaps, nothing hides between.
fn check_extents(mut extents: Vec<Extent>, directory: u64) -> Result<(), Failure> {
    extents.sort_unstable_by_key(|extent| (extent.start, extent.end));
    let (mut end, mut slack) = (0, 0);
    let last = Extent { start: directory, end: directory, described: false };
    for extent in extents.into_iter().chain([last]) {
        if extent.start < end {
            return Err(hostile("members of the archive overlap"));
        }
        if extent.start - end > slack {
            return Err(hostile("the archive has bytes that belong to no member"));
        }
        (end, slack) = (extent.end, if extent.described { MOST_DESCRIPTOR } else { 0 });
    }
    Ok(())
}

/// The archive ends with its end record, and the directory ends where that begins.
fn check_end(archive: &mut (impl Read + Seek)) -> Result<End, Failure> {
    let unreadable = |error: io::Error| unreadable(&error);
    let length = archive.seek(SeekFrom::End(0)).map_err(unreadable)?;
    let tail_length = length.min((END + MOST_COMMENT) as u64);
    archive.seek(SeekFrom::Start(length - tail_length)).map_err(unreadable)?;
    let mut tail = Vec::new();
    archive.take(tail_length).read_to_end(&mut tail).map_err(unreadable)?;
    let Some(place) = tail.windows(END).rposition(|window| window.starts_with(b"PK\x05\x06")) else {
        return Err(broken("the archive ends too early (it has no end record)"));
    };
    let record = &tail[place..];
    let number =
        |at: usize, width: usize| record[at..at + width].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if record.len() as u64 != END as u64 + number(20, 2) {
        return Err(broken("the archive goes on behind its end record"));
    }
    let (size, start) = (number(12, 4), number(16, 4));
    let position = length - record.len() as u64;
    // All ones stand for "see the 64-bit record". Nothing we install is that large, and a second record is a second truth.
    if number(10, 2) == u64::from(u16::MAX) || size == u64::from(u32::MAX) || start == u64::from(u32::MAX) {
        return Err(broken("the archive is of the 64-bit kind of zip"));
    }
    let members = number(10, 2);
    if members > MOST_ENTRIES as u64 || size > MOST_DIRECTORY {
        return Err(hostile(format!(
            "the archive has more than {MOST_ENTRIES} members, or a directory of more than 2 MiB"
        )));
    }
    if start + size != position {
        return Err(hostile("the archive's directory is not where its end record says"));
    }
    Ok(End { members, directory: start })
}

fn refused(error: ZipError) -> Failure {
    match error {
        ZipError::Io(error) => unreadable(&error),
        ZipError::InvalidArchive(words) if words.contains("header inconsistency") => {
            hostile(format!("the archive says two things about one member ({words})"))
        }
        other => broken(format!("the archive is damaged ({other})")),
    }
}
