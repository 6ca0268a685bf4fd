//! An archive's asked-for members to a sink, in one pass, whatever the format.
//! May not write anywhere: the sink does.

use std::fmt;
use std::io::{self, BufRead, Read, Seek};

use anymetal_contract::plan::{Format, Member};

use crate::limits::{broken, hostile};
use crate::{tarball, zipped};
use anymetal_supply::failure::Failure;

/// Where members go.
pub trait Sink {
    /// Takes one member's content, to its end. An error of reading is given back through [`unreadable`].
    fn file(&mut self, member: &Member, from: &mut dyn Read) -> Result<(), Failure>;
}

/// Gives every asked-for member to the sink. What the sink got counts only when this ends well: an archive may turn out hostile,
/// or to lack a member, at its very end.
pub fn unpack(
    mut archive: impl BufRead + Seek,
    format: Format,
    members: &[Member],
    sink: &mut dyn Sink,
) -> Result<(), Failure> {
    let beginning = archive.fill_buf().map_err(|error| unreadable(&error))?;
    if let Some(what) = other(format, beginning) {
        let wanted = if format == Format::Zip { "a zip archive" } else { "a tar archive in gzip" };
        return Err(broken(format!("the archive is {what}, not {wanted}")));
    }
    match format {
        Format::Zip => zipped::unpack(archive, members, sink),
        Format::TarGz => tarball::unpack(archive, members, sink),
    }
}

/// What a file is that begins so, when it is known and not of the format.
fn other(format: Format, beginning: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", ZIP),
        (b"\x1f\x8b", GZIP),
        (b"\xfd7zXZ\0", "packed by xz"),
        (b"BZh", "packed by bzip2"),
        (b"\x28\xb5\x2f\xfd", "packed by zstd"),
        (b"7z\xbc\xaf\x27\x1c", "one of 7-Zip"),
        (b"\x7fELF", "a program"),
        (b"!<arch>\n", "a Debian package"),
        (b"<", "a page or another text that begins with `<`"),
    ];
    const ZIP: &str = "a zip archive";
    const GZIP: &str = "packed by gzip";
    let own = if format == Format::Zip { ZIP } else { GZIP };
    let tar = beginning.get(257..262) == Some(b"ustar");
    let known = KNOWN.iter().find(|(magic, _)| beginning.starts_with(magic)).map(|(_, what)| *what);
    known.or(tar.then_some("a tar archive without gzip")).filter(|what| *what != own)
}

/// What a failed read of an archive means: hostile when one of our own limits stopped it, else damaged.
pub fn unreadable(error: &io::Error) -> Failure {
    if let Some(limit) = error.get_ref().and_then(|inner| inner.downcast_ref::<OverLimit>()) {
        return hostile(limit.to_string());
    }
    if let Some(what) = error.get_ref().and_then(|inner| inner.downcast_ref::<NotArchive>()) {
        return broken(what.to_string());
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => broken(format!("the archive ends too early ({error})")),
        _ => broken(format!("the archive is damaged ({error})")),
    }
}

/// An error of reading that says a limit was passed.
#[derive(Debug)]
pub(crate) struct OverLimit(pub(crate) String);

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OverLimit {}

/// An error of reading that says what is there in an archive's place.
#[derive(Debug)]
pub(crate) struct NotArchive(&'static str);

impl NotArchive {
    pub(crate) fn error(what: &'static str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Self(what))
    }
}

impl fmt::Display for NotArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for NotArchive {}

/// A member's content, which is exactly as long as its header says or an error.
pub(crate) struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R> Exactly<R> {
    pub(crate) fn new(inner: R, length: u64) -> Self {
        Self { inner, left: length }
    }
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a member is shorter than its header says"));
        }
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a member is longer than its header says"))?;
        Ok(read)
    }
}
