//! A bundle's bytes, one after the other: headers made, files read and hashed, blocks filled up. One thread reads and hashes, one writes.
//! May not hold more of a file than a few buffers.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, Error, Result, anyhow};
use anymetal_contract::Digest;
use anymetal_supply::bundle::header::{END, header, padding};
use anymetal_supply::pump::{Copying, pump};
use sha2::{Digest as _, Sha256};

use super::contents::{Content, Layout, hint};
use crate::sys::bundle;

/// A file, opened when it is its turn, that ends well only when its bytes have the right digest.
struct Hashed<'l> {
    path: &'l Path,
    wanted: &'l Digest,
    left: u64,
    file: Option<File>,
    hash: Sha256,
}

/// Writes all of it.
pub(super) fn write(layout: &Layout<'_>, to: &mut File) -> Result<()> {
    let mut pieces = pieces(layout);
    let read = |buffer: &mut [u8]| {
        while let Some(piece) = pieces.front_mut() {
            match piece.read(buffer)? {
                0 => _ = pieces.pop_front(),
                read => return Ok(read),
            }
        }
        Ok(0)
    };
    pump(read, |bytes| to.write_all(bytes).context("writing the bundle")).map_err(|failed| match failed {
        Copying::Reading(error) => Error::from(error),
        Copying::Writing(error) => error,
    })
}

/// What is read, in this order.
fn pieces<'l>(layout: &'l Layout<'_>) -> VecDeque<Box<dyn Read + 'l>> {
    let mut pieces: VecDeque<Box<dyn Read + 'l>> = VecDeque::new();
    for member in &layout.members {
        pieces.push_back(Box::new(io::Cursor::new(header(&member.name, member.size))));
        pieces.push_back(match &member.content {
            Content::Bytes(bytes) => Box::new(&**bytes),
            Content::File(path, wanted) => {
                Box::new(Hashed { path, wanted, left: member.size, file: None, hash: Sha256::new() })
            }
        });
        pieces.push_back(Box::new(io::repeat(0).take(padding(member.size) as u64)));
    }
    pieces.push_back(Box::new(&END[..]));
    pieces
}

impl Hashed<'_> {
    fn piece(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if most == 0 {
            let digest = Digest::of(std::mem::take(&mut self.hash).finalize().into());
            return if digest == *self.wanted { Ok(0) } else { Err(self.wrong(&format!("sha256 {digest}"))) };
        }
        let reading = || format!("reading {}", self.path.display());
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(bundle::open(self.path)?),
        };
        let read = file.read(&mut buffer[..most]).with_context(reading)?;
        if read == 0 {
            return Err(self.wrong("it became shorter"));
        }
        self.hash.update(&buffer[..read]);
        self.left -= read as u64;
        Ok(read)
    }

    fn wrong(&self, what: &str) -> Error {
        anyhow!("{} has other bytes than its name says: {what}\n{}", self.path.display(), hint())
    }
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.piece(buffer).map_err(io::Error::other)
    }
}
