//! A probe's connection, as ureq wants it: TCP, perhaps bound to the loopback.
//! May not know what is asked.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport};

const LOOPBACK: &str = "lo";

/// Connects to the first address.
#[derive(Debug)]
pub(super) struct Tcp {
    /// Only over the loopback. Linux takes this from anybody (`SO_BINDTODEVICE`, since 5.7), and then a connection to an address that is not
    /// this machine's ends there.
    pub(super) within: bool,
}

impl Connector for Tcp {
    type Out = TcpTransport;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, Error> {
        let address = details.addrs.iter().next().ok_or(Error::HostNotFound)?;
        let stream = open(*address, self.within, details.timeout).map_err(|error| late(error, details.timeout))?;
        stream.set_nodelay(true)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(TcpTransport { stream, buffers }))
    }
}

fn open(address: SocketAddr, within: bool, limit: NextTimeout) -> io::Result<TcpStream> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if within {
        setsockopt(&socket, sockopt::BindToDevice, &LOOPBACK.into())?;
    }
    if let Some(limit) = limit.not_zero() {
        // It also limits connect(2), which then says EINPROGRESS (socket(7)).
        let limit = TimeVal::new(limit.as_secs().try_into().unwrap_or(i64::MAX), limit.subsec_micros().into());
        setsockopt(&socket, sockopt::SendTimeout, &limit)?;
    }
    connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(TcpStream::from(socket))
}

/// Names the limit that has passed, when that is the error.
fn late(error: io::Error, limit: NextTimeout) -> Error {
    let passed = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    let unfinished = error.raw_os_error() == Some(nix::libc::EINPROGRESS);
    if passed || unfinished { Error::Timeout(limit.reason) } else { Error::Io(error) }
}

#[derive(Debug)]
pub(super) struct TcpTransport {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Transport for TcpTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| late(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        let amount = self.stream.read(self.buffers.input_append_buf()).map_err(|error| late(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // No connection is kept for another question.
        false
    }
}
