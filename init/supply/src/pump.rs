//! Bytes from one side to the other with a thread for each, so that reading (a socket, a decompressor) and writing (a hash, a
//! disk) take the time of the slower and not of both. May not know what either side is.

use std::io;
use std::sync::mpsc;

/// Bytes moved at a time: large enough that system calls do not count.
pub const BUFFER: usize = 64 * 1024;
/// Buffers under way: one being filled, one being emptied, two to even out the difference. A pump takes 256 KiB.
const BUFFERS: usize = 4;

/// Which side failed.
#[derive(Debug)]
pub enum Copying {
    /// What gives.
    Reading(io::Error),
    /// What takes.
    Writing(anyhow::Error),
}

/// Moves everything, in order. What was read before an error of reading is written all the same.
pub fn pump(
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    mut write: impl FnMut(&[u8]) -> anyhow::Result<()> + Send,
) -> Result<(), Copying> {
    let (full, filled) = mpsc::sync_channel::<(Vec<u8>, usize)>(BUFFERS);
    let (empty, emptied) = mpsc::channel();
    for _ in 0..BUFFERS {
        empty.send(vec![0; BUFFER]).expect("the other end is in this function");
    }
    std::thread::scope(|scope| {
        let writer = scope.spawn(move || {
            for (buffer, length) in filled {
                write(&buffer[..length])?;
                // The reader has ended when nobody takes it.
                let _untaken = empty.send(buffer);
            }
            anyhow::Ok(())
        });
        let reading = fill(&mut read, &full, &emptied);
        drop(full);
        let writing = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        writing.map_err(Copying::Writing)?;
        reading.map_err(Copying::Reading)
    })
}

/// Reads until the end, an error, or until the writer has stopped, which then has an error of its own.
fn fill(
    read: &mut impl FnMut(&mut [u8]) -> io::Result<usize>,
    full: &mpsc::SyncSender<(Vec<u8>, usize)>,
    emptied: &mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    while let Ok(mut buffer) = emptied.recv() {
        let length = loop {
            match read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        if length == 0 || full.send((buffer, length)).is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn everything_arrives_in_order() {
        let bytes: Vec<u8> =
            (0..1_000_003_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
        let (mut from, mut to) = (bytes.as_slice(), Vec::<u8>::new());
        pump(
            |buffer| from.read(buffer),
            |piece| {
                to.extend(piece);
                Ok(())
            },
        )
        .unwrap();
        assert!(to == bytes);
    }

    #[test]
    fn what_came_before_an_error_of_reading_is_written() {
        let (mut calls, mut to) = (0, Vec::<u8>::new());
        let read = |buffer: &mut [u8]| {
            calls += 1;
            match calls {
                1 => Err(io::ErrorKind::Interrupted.into()),
                2 => {
                    buffer[0] = 7;
                    Ok(1)
                }
                _ => Err(io::ErrorKind::ConnectionReset.into()),
            }
        };
        let failed = pump(read, |piece| {
            to.extend(piece);
            Ok(())
        });
        assert!(matches!(failed, Err(Copying::Reading(error)) if error.kind() == io::ErrorKind::ConnectionReset));
        assert_eq!(to, [7]);
    }

    #[test]
    fn an_error_of_writing_ends_reading_that_would_go_on_for_ever() {
        let failed = pump(|buffer| Ok(buffer.len()), |_| anyhow::bail!("no room"));
        assert!(matches!(failed, Err(Copying::Writing(error)) if error.to_string() == "no room"));
    }
}
