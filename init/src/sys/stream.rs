//! A unix stream socket on which nothing waits longer than it may.
//! May not know what is said on it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;

/// A connection; its calls end at the instants they are given.
#[derive(Debug)]
pub(crate) struct Stream(UnixStream);

impl Stream {
    /// Connects to `path` before `until`.
    pub(crate) fn open(path: &Path, until: Instant) -> io::Result<Self> {
        let address = UnixAddr::new(path)?;
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        loop {
            // A listener whose backlog is full lets a connection wait for as long as this says, and without it for ever.
            let left = left(until)?;
            let seconds = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
            setsockopt(&socket, sockopt::SendTimeout, &TimeVal::new(seconds, left.subsec_micros().into()))?;
            match connect(std::os::fd::AsRawFd::as_raw_fd(&socket), &address) {
                Ok(()) => return Ok(Self(UnixStream::from(socket))),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Err(late()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Sends all of it before `until`.
    pub(crate) fn send(&mut self, mut bytes: &[u8], until: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            self.0.set_write_timeout(Some(left(until)?))?;
            match self.0.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) => again(error)?,
            }
        }
        Ok(())
    }

    /// Receives something before `until`; nothing means that the other side has closed.
    pub(crate) fn receive(&mut self, into: &mut [u8], until: Instant) -> io::Result<usize> {
        loop {
            self.0.set_read_timeout(Some(left(until)?))?;
            match self.0.read(into) {
                Ok(count) => return Ok(count),
                Err(error) => again(error)?,
            }
        }
    }
}

/// An error that is none: interrupted, or the kernel's timeout, which the next look at the clock judges.
fn again(error: io::Error) -> io::Result<()> {
    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) { Ok(()) } else { Err(error) }
}

/// What is left until then; never zero, which the kernel takes for "without end".
fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(super::clock::monotonic());
    if left.is_zero() { Err(late()) } else { Ok(left.max(Duration::from_millis(1))) }
}

fn late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "nothing moved in the time there was")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::clock::monotonic;
    use super::*;

    fn soon() -> Instant {
        monotonic() + Duration::from_millis(50)
    }

    #[test]
    fn a_listener_that_never_accepts_holds_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("full");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let said = loop {
            match Stream::open(&path, soon()) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!(said.kind(), ErrorKind::TimedOut, "after {} connections: {said}", waiting.len());
        assert!(!waiting.is_empty(), "not even one connection was taken");
        let said = waiting[0].receive(&mut [0; 16], soon()).unwrap_err();
        assert_eq!(said.kind(), ErrorKind::TimedOut, "{said}");
        let said = waiting[0].send(&vec![0; 1 << 22], soon()).unwrap_err();
        assert_eq!(said.kind(), ErrorKind::TimedOut, "{said}");
    }
}
