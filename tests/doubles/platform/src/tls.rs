//! TLS ended before a server that does not speak it: what is inside goes to it and back.
//! May not know what is inside.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};

/// Takes connections by TLS, and brings what is in them to the listener that is returned: on a free port of the loopback.
pub fn terminate(outer: TcpListener, certificate: &Path, key: &Path) -> io::Result<TcpListener> {
    let wrong = |path: &Path, error: rustls::pki_types::pem::Error| {
        io::Error::other(format!("loading {}: {error}", path.display()))
    };
    let chain = CertificateDer::from_pem_file(certificate).map_err(|error| wrong(certificate, error))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error))?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .map_err(io::Error::other)?;
    let config = Arc::new(config);
    let inner = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let at = inner.local_addr()?;
    std::thread::spawn(move || {
        for stream in outer.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let _ends = ServerConnection::new(config)
                    .map_err(io::Error::other)
                    .and_then(|connection| bring(connection, stream, TcpStream::connect(at)?));
            });
        }
    });
    Ok(inner)
}

/// Brings what a client sends to the server and what the server answers back, until one of them ends it.
fn bring(mut connection: ServerConnection, mut outer: TcpStream, mut inner: TcpStream) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(&mut outer)?;
    }
    // What came together with the end of the handshake.
    let early = plaintext(&mut connection)?;
    inner.write_all(&early)?;
    let connection = Arc::new(Mutex::new(connection));
    let back = {
        let (connection, mut from, mut to) = (Arc::clone(&connection), inner.try_clone()?, outer.try_clone()?);
        std::thread::spawn(move || answers(&connection, &mut from, &mut to))
    };
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = outer.read(&mut buffer)?;
        let mut plain = Vec::new();
        let closed = {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let mut sent = &buffer[..length];
            while !sent.is_empty() {
                connection.read_tls(&mut sent)?;
                plain.extend(plaintext(&mut connection)?);
            }
            while connection.wants_write() {
                connection.write_tls(&mut outer)?;
            }
            length == 0
        };
        inner.write_all(&plain)?;
        if closed {
            let _already_gone = inner.shutdown(Shutdown::Both);
            let _ended = back.join();
            return Ok(());
        }
    }
}

/// What has been deciphered and not been taken yet.
fn plaintext(connection: &mut ServerConnection) -> io::Result<Vec<u8>> {
    let state = connection.process_new_packets().map_err(io::Error::other)?;
    let mut plain = vec![0; state.plaintext_bytes_to_read()];
    connection.reader().read_exact(&mut plain)?;
    Ok(plain)
}

fn answers(connection: &Mutex<ServerConnection>, from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer)?;
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        if length == 0 {
            connection.send_close_notify();
        }
        connection.writer().write_all(&buffer[..length])?;
        while connection.wants_write() {
            connection.write_tls(to)?;
        }
        if length == 0 {
            return to.shutdown(Shutdown::Both);
        }
    }
}
