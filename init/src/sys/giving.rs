//! Whole blobs of the content store for siblings: an HTTP/1.1 server of `/sha256/<hex>`, which lists nothing and gives nothing else.
//! May not be asked from outside the private network, nor hold more of a client than its first 4 KiB.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anymetal_contract::Digest;
use ipnet::Ipv4Net;

/// How long a client may take to ask, and to take the next piece.
const LIMIT: Duration = Duration::from_secs(10);
/// The longest request that is read, in bytes.
const LONGEST: usize = 4096;
/// Clients at a time: every other node of a large metro, and each takes a thread of little more than its stack.
const CLIENTS: usize = 32;

/// Gives what is in the store to whoever asks from these networks, for ever, with a thread for each client.
pub(crate) fn serve(listener: &TcpListener, store: &Path, networks: &[Ipv4Net]) {
    let (store, clients) = (Arc::new(store.to_owned()), Arc::new(AtomicUsize::new(0)));
    for client in listener.incoming() {
        let Ok(client) = client else {
            // Too many open files, say: that passes, and must not be asked about a million times until then.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let near = client.peer_addr().is_ok_and(|peer| is_on(networks, peer.ip()));
        if !near {
            continue;
        }
        let held = Held::one_more(&clients);
        if clients.load(Ordering::SeqCst) > CLIENTS {
            continue;
        }
        let store = Arc::clone(&store);
        let _could_not_be_started = std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
            let _client_gone = answer(client, &store);
            drop(held);
        });
    }
}

/// One client more, until it is dropped.
struct Held(Arc<AtomicUsize>);

impl Held {
    fn one_more(clients: &Arc<AtomicUsize>) -> Self {
        clients.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(clients))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    digest: Digest,
    /// From this byte on, when only a part is wanted.
    from: Option<u64>,
    body: bool,
}

fn answer(mut client: TcpStream, store: &Path) -> io::Result<()> {
    client.set_read_timeout(Some(LIMIT))?;
    client.set_write_timeout(Some(LIMIT))?;
    let mut request = [0; LONGEST];
    let mut length = 0;
    while !request[..length].windows(4).any(|window| window == b"\r\n\r\n") && length < LONGEST {
        match client.read(&mut request[length..])? {
            0 => break,
            read => length += read,
        }
    }
    let Some(asked) = asked(&request[..length]) else { return refuse(&mut client, "400 Bad Request") };
    let Some((mut file, length)) = open(store, &asked.digest) else { return refuse(&mut client, "404 Not Found") };
    let from = asked.from.unwrap_or(0);
    if from > 0 && from >= length {
        return refuse(&mut client, "416 Range Not Satisfiable");
    }
    let left = length - from;
    let (status, range) = match asked.from {
        None => ("200 OK", String::new()),
        Some(from) => {
            ("206 Partial Content", format!("content-range: bytes {from}-{}/{length}\r\n", length.saturating_sub(1)))
        }
    };
    let kind = "content-type: application/octet-stream";
    write!(client, "HTTP/1.1 {status}\r\n{kind}\r\n{range}content-length: {left}\r\nconnection: close\r\n\r\n")?;
    if asked.body {
        file.seek(SeekFrom::Start(from))?;
        // The kernel moves it from the file to the socket, so no memory is taken for it.
        io::copy(&mut file.take(left), &mut client)?;
    }
    Ok(())
}

fn refuse(client: &mut TcpStream, status: &str) -> io::Result<()> {
    write!(client, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// `GET` or `HEAD` of a blob, from some byte on; nothing else is understood.
fn asked(request: &[u8]) -> Option<Asked> {
    let head = std::str::from_utf8(request).ok()?;
    let (head, _) = head.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let (method, rest) = lines.next()?.split_once(' ')?;
    let (path, version) = rest.split_once(' ')?;
    (version.starts_with("HTTP/1.") && matches!(method, "GET" | "HEAD")).then_some(())?;
    let digest = path.strip_prefix("/sha256/")?.parse().ok()?;
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let range = headers.find(|(name, _)| name.eq_ignore_ascii_case("range")).map(|(_, value)| value.trim());
    // What is no range of this form may be ignored (RFC 9110, section 14.2).
    let from = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    Some(Asked { digest, from, body: method == "GET" })
}

/// A whole blob. What is still coming has another name.
fn open(store: &Path, digest: &Digest) -> Option<(File, u64)> {
    let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(store.join(digest.as_str())).ok()?;
    let found = file.metadata().ok()?;
    found.is_file().then_some((file, found.len()))
}

/// Whether a whole blob is there.
pub(crate) fn has(store: &Path, digest: &Digest) -> bool {
    std::fs::symlink_metadata(store.join(digest.as_str())).is_ok_and(|found| found.is_file())
}

/// Whether somebody is a neighbour on the link.
pub(crate) fn is_on(networks: &[Ipv4Net], who: IpAddr) -> bool {
    matches!(who, IpAddr::V4(who) if networks.iter().any(|net| net.contains(&who)))
}
