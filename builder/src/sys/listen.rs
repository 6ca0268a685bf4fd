//! A small HTTP server on loopback: takes questions, hands them to a pure answerer, sends what it says.
//! May not know a path or a rule: the answerer does.
#![expect(
    clippy::disallowed_methods,
    reason = "a room of sys: the listening socket, its clock, and the files it sends"
)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tiny_http::{Header, Request, Response, Server, StatusCode};

/// A body longer than this is not read: nothing that is posted to us is.
const LONGEST_BODY: u64 = 1 << 20;

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Since the listener began.
    pub at: Duration,
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// At most 1 MiB of it.
    pub body: Vec<u8>,
}

impl Asked {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names and values, `content-type` among them; the length is added.
    pub headers: Vec<(&'static str, String)>,
    /// What follows.
    pub body: Body,
}

/// The body of an [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A part of a file.
    File {
        /// Which.
        path: PathBuf,
        /// Of what.
        part: Part,
    },
}

/// A part of a file, and how badly it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The first byte.
    pub from: u64,
    /// How many.
    pub length: u64,
    /// Invert this byte of the file.
    pub damage: Option<u64>,
    /// Bytes per second at most.
    pub rate: Option<u64>,
}

impl Answer {
    /// A document of this media type.
    pub fn document(status: u16, media: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("content-type", media.to_owned())], body: Body::Bytes(body.into()) }
    }
}

/// A server that runs until it is dropped.
pub struct Listener {
    server: Arc<Server>,
    port: u16,
    acceptor: Option<JoinHandle<()>>,
}

impl Listener {
    /// Listens on a free port of 127.0.0.1; each question has a thread of its own.
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> anyhow::Result<Self> {
        let server = Server::http("127.0.0.1:0").map_err(|e| anyhow::anyhow!(e)).context("listening on 127.0.0.1")?;
        let port = server.server_addr().to_ip().context("listening on 127.0.0.1: no address was given")?.port();
        let (server, answer, began) = (Arc::new(server), Arc::new(answer), Instant::now());
        let acceptor = std::thread::spawn({
            let server = Arc::clone(&server);
            move || {
                for request in server.incoming_requests() {
                    let answer = Arc::clone(&answer);
                    std::thread::spawn(move || serve(request, began, &*answer));
                }
            }
        });
        Ok(Self { server, port, acceptor: Some(acceptor) })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.server.unblock();
        if let Some(acceptor) = self.acceptor.take() {
            let _ended = acceptor.join();
        }
    }
}

fn serve(mut request: Request, began: Instant, answer: &dyn Fn(&Asked) -> Answer) {
    let mut body = Vec::new();
    if request.as_reader().take(LONGEST_BODY).read_to_end(&mut body).is_err() {
        return; // the peer went away in the middle of its question: there is nobody to answer
    }
    let headers = request
        .headers()
        .iter()
        .map(|header| (header.field.as_str().as_str().to_ascii_lowercase(), header.value.as_str().to_owned()))
        .collect();
    let path = request.url().split('?').next().unwrap_or_default().to_owned();
    let asked = Asked { at: began.elapsed(), method: request.method().to_string(), path, headers, body };
    let answer = answer(&asked);
    let (reader, length) = match open(answer.body) {
        Ok(opened) => opened,
        Err(error) => {
            tracing::error!("answering {}: {error}", asked.path);
            let _peer_gone = request.respond(Response::empty(500));
            return;
        }
    };
    let headers = answer
        .headers
        .iter()
        .map(|(name, value)| Header::from_bytes(*name, value.as_bytes()).expect("our headers are plain text"))
        .collect();
    // Always with a length: tiny_http would chunk longer bodies, which no platform and no mirror does.
    let response = Response::new(StatusCode(answer.status), headers, reader, usize::try_from(length).ok(), None)
        .with_chunked_threshold(usize::MAX);
    let _peer_gone = request.respond(response);
}

fn open(body: Body) -> io::Result<(Box<dyn Read + Send>, u64)> {
    match body {
        Body::Bytes(bytes) => {
            let length = bytes.len() as u64;
            Ok((Box::new(io::Cursor::new(bytes)), length))
        }
        Body::File { path, part } => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(part.from))?;
            let reader = Sent { inner: file.take(part.length), at: part.from, part, began: Instant::now() };
            Ok((Box::new(reader), part.length))
        }
    }
}

/// A part of a file on its way out: damaged and slowed down as told.
struct Sent<R> {
    inner: R,
    at: u64,
    part: Part,
    began: Instant,
}

impl<R: Read> Read for Sent<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = if self.part.rate.is_some() { buffer.len().min(16 * 1024) } else { buffer.len() };
        let got = self.inner.read(&mut buffer[..most])?;
        let damaged =
            self.part.damage.and_then(|byte| byte.checked_sub(self.at)).and_then(|byte| usize::try_from(byte).ok());
        if let Some(byte) = damaged.filter(|byte| *byte < got) {
            buffer[byte] = !buffer[byte];
        }
        self.at += got as u64;
        if let Some(rate) = self.part.rate {
            let due = Duration::from_secs_f64((self.at - self.part.from) as f64 / rate.max(1) as f64);
            std::thread::sleep(due.saturating_sub(self.began.elapsed()));
        }
        Ok(got)
    }
}
