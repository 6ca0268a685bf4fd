//! Whole blobs of the content store for siblings: an HTTP/1.1 server of `/sha256/<hex>`, which lists nothing and gives nothing else.
//! May not be asked from outside the private network, nor hold more of a client than its first 4 KiB.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use anymetal_contract::Digest;
use ipnet::Ipv4Net;
use nix::errno::Errno;
use nix::sys::sendfile::sendfile;

use super::clients::{self, Rules};
use super::clock;

/// What clients may do: every other node of a large metro is one, and asks for as many blobs at a time as it has workers.
const RULES: Rules = Rules { at_once: 48, from_one: 8, asking: Duration::from_secs(5), taking: Duration::from_secs(5) };
/// What a client has to take in all, in bytes per second: a private link carries many times that.
const LEAST: u64 = 256 * 1024;
/// The most that is given in one go, between two looks at the clock.
const PIECE: usize = 1 << 20;

/// Gives what is in the store to whoever asks from these networks, for ever, with a thread for each client.
pub(crate) fn serve(listener: &TcpListener, store: &Path, networks: &[Ipv4Net]) {
    let store = store.to_owned();
    clients::serve(listener, RULES, |peer| is_on(networks, peer), move |client, head| answer(client, head, &store));
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    digest: Digest,
    /// From this byte on, when only a part is wanted.
    from: Option<u64>,
    body: bool,
}

fn answer(client: &mut TcpStream, request: &[u8], store: &Path) -> io::Result<()> {
    let Some(asked) = asked(request) else { return refuse(client, "400 Bad Request") };
    let Some((mut file, length)) = open(store, &asked.digest) else { return refuse(client, "404 Not Found") };
    let from = asked.from.unwrap_or(0);
    if from > 0 && from >= length {
        return refuse(client, "416 Range Not Satisfiable");
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
    if asked.body { give(client, &mut file, from, left) } else { Ok(()) }
}

/// The file's bytes from there on, moved by the kernel, so that no memory is taken for them. Ends when the client takes them too slowly.
fn give(client: &TcpStream, file: &mut File, from: u64, mut left: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(from))?;
    let until = clock::monotonic() + RULES.taking * 4 + Duration::from_secs(left / LEAST);
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        match sendfile(client, &*file, None, piece) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(given) => left = left.saturating_sub(given as u64),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        if clock::monotonic() >= until {
            return Err(io::ErrorKind::TimedOut.into());
        }
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

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare a store and talk to it as any client may")]

    use std::io::Read as _;

    use super::*;

    /// As a neighbour with one address can: many connections, each a byte at a time.
    #[test]
    fn thirty_two_clients_that_drip_shut_no_sibling_out() {
        let folder = tempfile::tempdir().unwrap();
        let blob = vec![7; 3_000_000];
        let digest = anymetal_lab::archive::sha256(&blob);
        std::fs::write(folder.path().join(digest.as_str()), &blob).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let store = folder.path().to_owned();
        std::thread::spawn(move || serve(&listener, &store, &["127.0.0.0/8".parse().unwrap()]));
        let _dripping: Vec<TcpStream> = (0..32)
            .map(|_| {
                let mut client = TcpStream::connect(address).unwrap();
                client.write_all(b"G").unwrap();
                client
            })
            .collect();
        for from in [0, 1_000_000] {
            let mut client = TcpStream::connect(address).unwrap();
            write!(client, "GET /sha256/{digest} HTTP/1.1\r\nRange: bytes={from}-\r\n\r\n").unwrap();
            let mut said = Vec::new();
            client.read_to_end(&mut said).unwrap();
            let head = said.windows(4).position(|window| window == b"\r\n\r\n").expect("it answers") + 4;
            assert!(said.starts_with(b"HTTP/1.1 206 ") && said[head..] == blob[from..], "{} bytes", said.len());
        }
    }
}
