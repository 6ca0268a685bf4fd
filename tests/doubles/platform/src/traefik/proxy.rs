//! One connection: its request's head is read, the rest is streamed both ways between the client and a server.
//! May not keep a connection for a second request: every answer says so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::Shared;
use super::settings::Entry;

/// The longest head; Go's servers take a megabyte.
const HEAD: usize = 1 << 20;
/// Whose turn it is among several servers.
static TURN: AtomicUsize = AtomicUsize::new(0);

/// A request's head.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Head {
    line: String,
    headers: Vec<(String, String)>,
}

/// Serves a connection.
pub fn serve(shared: &Shared, entry: &Entry, mut client: TcpStream) {
    // A client that goes away ends its own request and nothing else.
    let _ = client.set_read_timeout(Some(Duration::from_mins(1)));
    let Some((head, rest)) = head(&mut client) else { return };
    let Some(head) = parse(&head) else {
        return answer(&mut client, "400 Bad Request", "400 Bad Request", None);
    };
    let target = head.line.split(' ').nth(1).unwrap_or("/").to_owned();
    let path = target.split('?').next().unwrap_or("/");
    let host = head.header("host").unwrap_or_default().to_owned();
    if shared.settings.ping.as_deref() == Some(entry.name.as_str()) && path == "/ping" {
        return answer(&mut client, "200 OK", "OK", None);
    }
    if let Some(redirect) = &entry.redirect {
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let other = shared.settings.entries.iter().find(|other| other.name.eq_ignore_ascii_case(redirect));
        let port = other.and_then(|other| other.address.rsplit_once(':')).map_or("443", |(_, port)| port);
        let port = if port == "443" { String::new() } else { format!(":{port}") };
        let to = format!("https://{name}{port}{target}");
        return answer(&mut client, "301 Moved Permanently", "Moved Permanently", Some(&to));
    }
    let server = shared.table.read().ok().and_then(|table| {
        let router = table.route(&entry.name, &host, path)?;
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % router.servers.len();
        Some(router.servers[turn].clone())
    });
    let Some((address, port)) = server else {
        return answer(&mut client, "404 Not Found", "404 page not found\n", None);
    };
    match connect(&address, port) {
        Some(server) => {
            let peer = client.peer_addr().map(|peer| peer.ip().to_canonical().to_string()).unwrap_or_default();
            forward(&mut client, server, &head.forwarded(&peer, &host), &rest);
        }
        None => answer(&mut client, "502 Bad Gateway", "Bad Gateway", None),
    }
}

fn connect(address: &str, port: u16) -> Option<TcpStream> {
    let mut addresses = (address, port).to_socket_addrs().ok()?;
    addresses.find_map(|address| TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok())
}

/// Streams both ways until the server has said everything.
fn forward(client: &mut TcpStream, mut server: TcpStream, head: &str, rest: &[u8]) {
    if server.write_all(head.as_bytes()).and_then(|()| server.write_all(rest)).is_err() {
        return answer(client, "502 Bad Gateway", "Bad Gateway", None);
    }
    let (Ok(mut from), Ok(mut to)) = (client.try_clone(), server.try_clone()) else { return };
    let up = std::thread::spawn(move || {
        let _ = from.set_read_timeout(None);
        let _ = std::io::copy(&mut from, &mut to);
    });
    // The server was told to close; its own words for that go on to the client, who then knows it too.
    match self::head(&mut server) {
        None => answer(client, "502 Bad Gateway", "Bad Gateway", None),
        Some((head, rest)) => {
            let sent = client.write_all(&closing(&head)).and_then(|()| client.write_all(&rest));
            if sent.is_ok() {
                let _ = std::io::copy(&mut server, client);
            }
        }
    }
    // This ends the other way's reading, wherever it is.
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
    let _ = up.join();
}

/// An answer's head with `Connection: close`; an interim answer, `100 Continue`, goes as it is.
fn closing(head: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(head);
    if text.split(' ').nth(1).is_some_and(|status| status.starts_with('1')) {
        return head.to_vec();
    }
    let kept = text.trim_end().split("\r\n").filter(|line| {
        let name = line.split(':').next().unwrap_or_default();
        !["connection", "keep-alive"].iter().any(|hop| name.eq_ignore_ascii_case(hop))
    });
    let kept: Vec<&str> = kept.collect();
    format!("{}\r\nConnection: close\r\n\r\n", kept.join("\r\n")).into_bytes()
}

fn answer(client: &mut TcpStream, status: &str, body: &str, location: Option<&str>) {
    let location = location.map_or_else(String::new, |to| format!("Location: {to}\r\n"));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n{location}X-Content-Type-Options: nosniff\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = client.write_all(head.as_bytes()).and_then(|()| client.shutdown(Shutdown::Write));
    // A request's body that nobody reads would reset the connection before the answer is seen.
    let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
    let _ = std::io::copy(&mut client.take(1 << 20), &mut std::io::sink());
}

/// Reads up to the empty line: the head, and what came behind it.
fn head(from: &mut TcpStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = [0; 8192];
    loop {
        let searched = bytes.len().saturating_sub(3);
        let count = from.read(&mut part).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        if let Some(at) = bytes[searched..].windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(searched + at + 4);
            return Some((bytes, rest));
        }
        if bytes.len() > HEAD {
            return None;
        }
    }
}

fn parse(head: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.trim_end().split("\r\n");
    let line = lines.next()?.to_owned();
    if line.split(' ').count() != 3 || !line.contains(" HTTP/1.") {
        return None;
    }
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    });
    Some(Head { line, headers: headers.collect::<Option<_>>()? })
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// As it goes on to a server: who asked stands in it, and the connection is for this once.
    fn forwarded(&self, peer: &str, host: &str) -> String {
        let hop = ["connection", "keep-alive", "proxy-connection", "te", "upgrade"];
        let own = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-real-ip"];
        let kept = self
            .headers
            .iter()
            .filter(|(name, _)| !hop.iter().chain(&own).any(|other| name.eq_ignore_ascii_case(other)))
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
        format!(
            "{}\r\n{}X-Forwarded-For: {peer}\r\nX-Forwarded-Host: {host}\r\nX-Forwarded-Port: {port}\r\n\
             X-Forwarded-Proto: http\r\nX-Real-Ip: {peer}\r\nConnection: close\r\n\r\n",
            self.line,
            kept.collect::<String>()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_goes_on_with_who_asked_and_without_what_was_for_this_hop() {
        let head =
            parse(b"GET /x?y HTTP/1.1\r\nHost: a:8080\r\nConnection: keep-alive\r\nX-Forwarded-For: liar\r\n\r\n")
                .unwrap();
        assert_eq!(
            head.forwarded("192.0.2.1", "a:8080"),
            "GET /x?y HTTP/1.1\r\nHost: a:8080\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Host: a:8080\r\n\
             X-Forwarded-Port: 8080\r\nX-Forwarded-Proto: http\r\nX-Real-Ip: 192.0.2.1\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(parse(b"junk\r\n\r\n"), None);
    }

    #[test]
    fn answers_end_their_connection() {
        let closed = closing(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nA: b\r\n\r\n");
        assert_eq!(closed, b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n");
        assert_eq!(closing(b"HTTP/1.1 100 Continue\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    }
}
