//! Somebody who has taken a port that is another's, and keeps every byte that comes in: plain, or with a certificate of his own CA.
//! May not judge what came: the suites do.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What he says to whoever asks anything.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n\"127.0.0.1:8300\"";
/// How long he waits for more.
const PATIENCE: Duration = Duration::from_secs(2);

/// A thief until it is dropped.
pub struct Thief {
    address: SocketAddr,
    stolen: Arc<Mutex<Vec<u8>>>,
    visits: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Thief {
    /// Takes the port and answers in plain HTTP.
    pub fn plain(address: &str) -> std::io::Result<Self> {
        Self::start(address, None)
    }

    /// Takes the port and answers by TLS.
    pub fn tls(address: &str, config: Arc<ServerConfig>) -> std::io::Result<Self> {
        Self::start(address, Some(config))
    }

    fn start(address: &str, tls: Option<Arc<ServerConfig>>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let (stolen, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let visits = Arc::new(AtomicUsize::new(0));
        std::thread::spawn({
            let (stolen, visits, stop) = (Arc::clone(&stolen), Arc::clone(&visits), Arc::clone(&stop));
            move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    visits.fetch_add(1, Ordering::SeqCst);
                    let (stolen, tls) = (Arc::clone(&stolen), tls.clone());
                    std::thread::spawn(move || serve(Tap { stream, stolen }, tls));
                }
            }
        });
        Ok(Self { address, stolen, visits, stop })
    }

    /// `127.0.0.1:<port>`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many have come.
    pub fn visits(&self) -> usize {
        self.visits.load(Ordering::SeqCst)
    }

    /// Every byte that came in, as it came and, of TLS, deciphered too.
    pub fn stolen(&self) -> Vec<u8> {
        self.stolen.lock().expect("no thread of the lab panics with the lock").clone()
    }
}

impl Drop for Thief {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _wakes_it = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

/// A stream of which every byte that is read is kept.
struct Tap<T> {
    stream: T,
    stolen: Arc<Mutex<Vec<u8>>>,
}

impl<T: Read> Read for Tap<T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.stolen.lock().expect("no thread of the lab panics with the lock").extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}

impl<T: Write> Write for Tap<T> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.stream.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

fn serve(mut raw: Tap<TcpStream>, tls: Option<Arc<ServerConfig>>) {
    let _answers_late = raw.stream.set_read_timeout(Some(PATIENCE));
    let stolen = Arc::clone(&raw.stolen);
    let Ok(end) = raw.stream.try_clone() else { return };
    match tls.map(ServerConnection::new) {
        None => take(&mut raw),
        Some(Ok(connection)) => take(&mut Tap { stream: StreamOwned::new(connection, raw), stolen }),
        Some(Err(_)) => {}
    }
    let _already_gone = end.shutdown(Shutdown::Both);
}

/// Takes what comes, answers each time, until nothing more comes.
fn take(stream: &mut (impl Read + Write)) {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).is_ok_and(|length| length > 0) {
        if stream.write_all(ANSWER).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}
