//! The two layers of a probe's connection, as ureq wants them: TCP, perhaps bound to the loopback, and TLS that keeps the certificate.
//! May not know what is asked.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt};
use nix::sys::time::TimeVal;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

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

/// Speaks TLS where the URL wants it, and keeps the certificate of who answered.
#[derive(Debug)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) certificate: Arc<Mutex<Option<Vec<u8>>>>,
}

impl Connector<TcpTransport> for Tls {
    type Out = Either<TcpTransport, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<TcpTransport>,
    ) -> Result<Option<Self::Out>, Error> {
        let transport = match chained {
            Some(transport) if details.needs_tls() => transport,
            as_it_is => return Ok(as_it_is.map(Either::A)),
        };
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host).map_err(|_| Error::Tls("the name in the URL is none of a server"))?;
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name)?;
        let mut adapter = TransportAdapter::new(transport, Arc::clone(&details.current_time));
        adapter.set_timeout(details.timeout);
        let agreed = connection.complete_io(&mut adapter);
        // Also of a handshake that has failed, for it may be why.
        let certificate = connection.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec());
        *self.certificate.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
        agreed.map_err(tls)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { stream: StreamOwned::new(connection, adapter), buffers })))
    }
}

/// rustls reports through the stream, as invalid data, what is its own.
fn tls(error: io::Error) -> Error {
    match error.downcast::<rustls::Error>() {
        Ok(error) => Error::Rustls(error),
        Err(error) => Error::from(error),
    }
}

pub(super) struct TlsTransport {
    stream: StreamOwned<ClientConnection, TransportAdapter<TcpTransport>>,
    buffers: LazyBuffers,
}

impl std::fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsTransport").finish_non_exhaustive()
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.sock.set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.sock.set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}
