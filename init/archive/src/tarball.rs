//! A gzipped tar archive, streamed once from the first byte to the last.
//! May not judge names and sizes: `limits` does.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use anymetal_contract::plan::Member;
use tar::{Archive, Entry, EntryType};

use crate::limits::{Census, Kind, MOST_HEADER, bomb, broken};
use crate::streams::Streams;
use crate::unpack::{Exactly, OverLimit, Sink, unreadable};
use anymetal_supply::failure::Failure;
use anymetal_supply::pump::BUFFER;

/// What was read so far, on both sides of the decompressor.
#[derive(Default)]
struct Meter {
    compressed: Cell<u64>,
    unpacked: Cell<u64>,
    /// Bytes that may still come before the next member's content; `None` within content.
    header: Cell<Option<u64>>,
    ended: Cell<bool>,
}

/// Counts compressed bytes.
struct Taken<R> {
    inner: R,
    meter: Rc<Meter>,
}

/// Counts unpacked bytes, and stops where they are too many.
struct Given<R> {
    inner: R,
    meter: Rc<Meter>,
}

pub(crate) fn unpack(archive: impl BufRead, members: &[Member], sink: &mut dyn Sink) -> Result<(), Failure> {
    let meter = Rc::new(Meter::default());
    let taken = Taken { inner: archive, meter: Rc::clone(&meter) };
    let given = Given { inner: Streams::new(taken), meter: Rc::clone(&meter) };
    let mut tar = Archive::new(given);
    let mut census = Census::of(members);
    let mut entries = tar.entries().map_err(|error| unreadable(&error))?;
    loop {
        meter.header.set(Some(MOST_HEADER));
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(|error| unreadable(&error))?;
        meter.header.set(None);
        member(&mut entry, &mut census, sink)?;
    }
    if meter.ended.get() {
        return Err(broken("the archive ends too early (it has no end mark)"));
    }
    meter.header.set(None);
    only_zeros(tar.into_inner())?;
    census.close()
}

fn member<R: Read>(entry: &mut Entry<R>, census: &mut Census, sink: &mut dyn Sink) -> Result<(), Failure> {
    let asked = if is_about_others(entry.header().entry_type()) {
        census.count()?;
        None
    } else {
        let kind = kind(entry)?;
        let runs = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        census.meet(&entry.path_bytes(), &kind, runs)?
    };
    let size = entry.size();
    let mut content = Exactly::new(entry, size);
    if let Some(member) = asked {
        sink.file(&member, &mut content)?;
    }
    // To the end, so that what comes before the next member's content is its header and nothing else.
    io::copy(&mut content, &mut io::sink()).map(drop).map_err(|error| unreadable(&error))
}

/// Whether an entry is no member, but words about the archive or the members behind it, whose name is never used: the global header of POSIX, which git writes;
/// GNU's name of a volume; what Solaris says of access and attributes.
fn is_about_others(kind: EntryType) -> bool {
    kind.is_pax_global_extensions() || matches!(kind.as_byte(), b'V' | b'X' | b'A' | b'E')
}

fn kind<R: Read>(entry: &mut Entry<R>) -> Result<Kind, Failure> {
    let target = || entry.link_name_bytes().map(Cow::into_owned).unwrap_or_default();
    let kind = match entry.header().entry_type() {
        // Archives older than POSIX mark a folder only by a slash.
        EntryType::Regular if entry.path_bytes().ends_with(b"/") => Kind::Directory,
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symbolic(target()),
        EntryType::Link => Kind::Hard(target()),
        EntryType::Char | EntryType::Block => Kind::Other("a device".into()),
        EntryType::Fifo => Kind::Other("a pipe".into()),
        EntryType::GNUSparse => Kind::Other("a sparse file".into()),
        // GNU's incremental archives: the content is a list of names
        other if other.as_byte() == b'D' => Kind::Directory,
        other if other.as_byte() == b'M' => Kind::Other("the rest of a file of another volume".into()),
        other => Kind::Other(format!("of the unknown kind {:?}", char::from(other.as_byte()))),
    };
    let sparse = |key: &str| key.starts_with("GNU.sparse.");
    if let Some(extensions) = entry.pax_extensions().map_err(|error| unreadable(&error))? {
        for extension in extensions {
            let extension = extension.map_err(|error| unreadable(&error))?;
            if extension.key().is_ok_and(sparse) {
                return Ok(Kind::Other("a sparse file".into()));
            }
        }
    }
    Ok(kind)
}

/// Reads to the end what stands behind the end mark: padding, which is zeros.
fn only_zeros(mut rest: impl Read) -> Result<(), Failure> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) if buffer[..read].iter().any(|byte| *byte != 0) => {
                return Err(broken("the archive goes on behind its end mark"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(unreadable(&error)),
        }
    }
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.compressed.set(self.meter.compressed.get() + read as u64);
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Taken<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.meter.compressed.set(self.meter.compressed.get() + amount as u64);
        self.inner.consume(amount);
    }
}

impl<R: Read> Read for Given<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let meter = &self.meter;
        meter.ended.set(read == 0 && !buffer.is_empty());
        meter.unpacked.set(meter.unpacked.get() + read as u64);
        if let Some(words) = bomb(meter.unpacked.get(), meter.compressed.get()) {
            return Err(io::Error::other(OverLimit(words)));
        }
        if let Some(left) = meter.header.get() {
            let Some(left) = left.checked_sub(read as u64) else {
                let words = format!("a member's header is longer than {} KiB", MOST_HEADER >> 10);
                return Err(io::Error::other(OverLimit(words)));
            };
            meter.header.set(Some(left));
        }
        Ok(read)
    }
}
