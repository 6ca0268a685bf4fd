//! Gzip streams one behind the other as one, and what may stand behind the last.
//! May not know what is in them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use crate::unpack::NotArchive;

/// How every gzip stream begins.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Reads all streams. What stands behind the last is padding, which is zeros, or an error that says so.
pub(crate) struct Streams<R> {
    /// `None` when everything was read, or reading failed.
    current: Option<GzDecoder<R>>,
}

impl<R: BufRead> Streams<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { current: Some(GzDecoder::new(inner)) }
    }
}

impl<R: BufRead> Read for Streams<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(current) = &mut self.current {
            let read = current.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let rest = self.current.take().map(GzDecoder::into_inner);
            self.current = rest.map(next).transpose()?.flatten().map(GzDecoder::new);
        }
        Ok(0)
    }
}

/// The rest, when another stream begins there; nothing when all that is there is padding.
fn next<R: BufRead>(mut rest: R) -> io::Result<Option<R>> {
    let mut is_first = true;
    loop {
        let there = rest.fill_buf()?;
        match there {
            [] => return Ok(None),
            [first, second, ..] if is_first && [*first, *second] == MAGIC => return Ok(Some(rest)),
            // one byte alone: the stream says itself that it is cut off
            [first] if is_first && *first == MAGIC[0] => return Ok(Some(rest)),
            _ if there.iter().all(|byte| *byte == 0) => {}
            _ => return Err(NotArchive::error("the archive goes on behind its gzip stream")),
        }
        is_first = false;
        let length = there.len();
        rest.consume(length);
    }
}
