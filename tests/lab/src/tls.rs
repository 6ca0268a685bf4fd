//! A TLS server on loopback with a certificate nobody should accept: self-signed, and expired in 2020.
//! May not do HTTP beyond one answer per connection: `http` is for that.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const EXPIRED: &[u8] = include_bytes!("../fixtures/expired.pem");

/// A server that runs until it is dropped.
pub struct Expired {
    address: SocketAddr,
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Expired {
    /// Answers every request whose handshake succeeds with 200 and this body.
    pub fn start(body: impl Into<Vec<u8>>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificate = CertificateDer::from_pem_slice(EXPIRED).expect("the fixture holds a certificate");
        let key = PrivateKeyDer::from_pem_slice(EXPIRED).expect("the fixture holds a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the default versions exist")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the fixture's key belongs to its certificate");
        let (config, body) = (Arc::new(config), Arc::new(body.into()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let acceptor = std::thread::spawn({
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let (config, body, answered) = (Arc::clone(&config), Arc::clone(&body), Arc::clone(&answered));
                    std::thread::spawn(move || {
                        if answer(stream, config, &body).is_ok() {
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            }
        });
        Self { address, answered, stop, acceptor: Some(acceptor) }
    }

    /// `https://localhost:<port>`, the name the certificate is for.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// How many requests were answered to the end.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Expired {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ended = acceptor.join();
        }
    }
}

fn answer(stream: TcpStream, config: Arc<ServerConfig>, body: &[u8]) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    write!(stream, "HTTP/1.1 200 Lab\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(body)?;
    stream.conn.send_close_notify();
    stream.flush()
}
