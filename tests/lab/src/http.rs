//! A scripted HTTP/1.1 server on loopback, plain or by TLS: answers what it is told, and misbehaves on request.
//! May not interpret what is asked for: the script does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A connection, plain or in TLS.
trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

/// What came in.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Header names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, by its content length.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What goes out.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Close the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
    /// After so many bytes of the body, send nothing more, and keep the connection until the client closes it.
    pub stall_after: Option<usize>,
    /// Say this content length, whatever the body's is.
    pub claim_length: Option<u64>,
    /// Pause between the pieces the body is sent in.
    pub pace: Option<Duration>,
    /// How long those pieces are, in bytes.
    pub piece: usize,
}

impl Response {
    /// This status, this body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (cut_after, stall_after, claim_length, pace) = (None, None, None, None);
        Self {
            status,
            body: body.into(),
            headers: Vec::new(),
            cut_after,
            stall_after,
            claim_length,
            pace,
            piece: 64 * 1024,
        }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, body)
    }

    /// This file, from the byte on that the request asks for (`Range: bytes=N-`), as a good server of files does it.
    pub fn file(request: &Request, file: &[u8]) -> Self {
        let asked =
            request.header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match asked {
            None => Self::ok(file),
            Some(from) if from < file.len() => {
                let mut response = Self::new(206, &file[from..]);
                let range = format!("bytes {from}-{}/{}", file.len() - 1, file.len());
                response.headers.push(("Content-Range".into(), range));
                response
            }
            Some(_) => Self::new(416, ""),
        }
    }

    /// 404 without words.
    pub fn not_found() -> Self {
        Self::new(404, "")
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    scheme: &'static str,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves on a free port of 127.0.0.1. The script gets each request and how many came before it on the same path.
    pub fn start(script: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0", script)
    }

    /// Serves at this address; the listener belongs to the calling thread's network namespace.
    pub fn start_at(address: &str, script: impl Fn(&Request, usize) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(address, None, script)
    }

    /// The same by TLS, as [`crate::authority::Identity::server`] makes it. Of whoever does not finish the handshake nothing is seen.
    pub fn start_tls(
        address: &str,
        tls: Arc<ServerConfig>,
        script: impl Fn(&Request, usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(address, Some(tls), script)
    }

    fn start_with(
        address: &str,
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(&Request, usize) -> Response + Send + Sync + 'static,
    ) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind(address).unwrap_or_else(|e| panic!("the lab cannot listen on {address}: {e}"));
        let address = listener.local_addr().expect("a bound listener has an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let acceptor = std::thread::spawn({
            let (seen, stop, script) = (Arc::clone(&seen), Arc::clone(&stop), Arc::new(script));
            move || {
                for stream in listener.incoming() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let Ok(stream) = stream else { continue };
                    let (seen, script, tls) = (Arc::clone(&seen), Arc::clone(&script), tls.clone());
                    std::thread::spawn(move || serve(stream, tls, &seen, &*script));
                }
            }
        });
        Self { scheme, address, seen, stop, acceptor: Some(acceptor) }
    }

    /// `http://127.0.0.1:<port>`, or with `https`, without a trailing slash.
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Everything that has come in so far, in order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().expect("no thread of the lab panics with the lock").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the acceptor. Where this thread is in another namespace than the listener the acceptor is left to the end of the process.
        if TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_ok()
            && let Some(acceptor) = self.acceptor.take()
        {
            let _ended = acceptor.join();
        }
    }
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    seen: &Mutex<Vec<Request>>,
    script: &dyn Fn(&Request, usize) -> Response,
) {
    let Ok(end) = stream.try_clone() else { return };
    let connection: Box<dyn Connection> = match tls.map(ServerConnection::new) {
        None => Box::new(stream),
        Some(Ok(connection)) => Box::new(StreamOwned::new(connection, stream)),
        Some(Err(_)) => return,
    };
    let mut reader = BufReader::new(connection);
    while let Some(request) = read_request(&mut reader) {
        let before = {
            let mut seen = seen.lock().expect("no thread of the lab panics with the lock");
            let before =
                seen.iter().filter(|other| other.path == request.path && other.method == request.method).count();
            seen.push(request.clone());
            before
        };
        let response = script(&request, before);
        let whole = write_response(reader.get_mut(), &response, request.method == "HEAD");
        if response.stall_after.is_some() && whole.is_ok() {
            // Whatever comes, even nothing, ends the stall; and so does the client by closing.
            let _gone = reader.read(&mut [0]);
        }
        if !matches!(whole, Ok(true)) {
            let _already_gone = end.shutdown(Shutdown::Both);
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// Whether the connection may be used again.
fn write_response(writer: &mut impl Write, response: &Response, head_only: bool) -> std::io::Result<bool> {
    let length = response.claim_length.unwrap_or(response.body.len() as u64);
    write!(writer, "HTTP/1.1 {} Lab\r\nContent-Length: {length}\r\n", response.status)?;
    for (name, value) in &response.headers {
        write!(writer, "{name}: {value}\r\n")?;
    }
    writer.write_all(b"\r\n")?;
    if head_only {
        return Ok(true);
    }
    let stop = response.cut_after.or(response.stall_after).unwrap_or(usize::MAX);
    let sent = &response.body[..stop.min(response.body.len())];
    for piece in sent.chunks(response.piece) {
        writer.write_all(piece)?;
        if let Some(pace) = response.pace {
            std::thread::sleep(pace);
        }
    }
    writer.flush()?;
    Ok(sent.len() as u64 == length && response.stall_after.is_none())
}
