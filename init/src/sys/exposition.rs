//! Metrics for whoever asks on the loopback: an HTTP/1.1 server of one page, in threads of its own, a few clients at a time.
//! May not be reached from outside the machine, nor hold more than a client's first 4 KiB.
//!
//! Written out, because the servers there are bring threads and megabytes for routes, bodies and connections that are kept; here a request
//! line is read, and the answer closes.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

use super::clients::{self, Rules};

/// What clients may do: a scraper or two, and somebody who looks by hand. All are of this machine, so nothing is said of addresses.
const RULES: Rules = Rules { at_once: 4, from_one: 4, asking: Duration::from_secs(2), taking: Duration::from_secs(2) };

/// Serves `GET /metrics` on this port of 127.0.0.1, made anew for every request; port 0 is any. Gives back the port.
pub(crate) fn serve(port: u16, page: impl Fn() -> String + Send + Sync + 'static) -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .with_context(|| format!("serving metrics at 127.0.0.1:{port}"))?;
    let port = listener.local_addr().context("serving metrics")?.port();
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .stack_size(256 * 1024)
        .spawn(move || clients::serve(&listener, RULES, |_| true, move |client, head| answer(client, head, &page)))
        .context("serving metrics")?;
    Ok(port)
}

fn answer(client: &mut TcpStream, request: &[u8], page: &impl Fn() -> String) -> io::Result<()> {
    let line = request.split(|byte| *byte == b'\r' || *byte == b'\n').next().unwrap_or_default();
    let (status, kind, body) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics", ..] => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", page()),
        [b"GET", ..] => ("404 Not Found", "text/plain", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "text/plain", "only GET\n".to_owned()),
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests talk to it as any client may")]

    use std::io::Read as _;

    use super::*;
    use anymetal_supply::http::{Certificates, Http, Limits};

    fn talk(port: u16, request: &[u8]) -> String {
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        client.write_all(request).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _cut = client.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn the_page_is_made_for_every_request_and_nothing_else_is_served() {
        let count = std::sync::atomic::AtomicU32::new(0);
        let page = move || format!("asked {}\n", count.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        let port = serve(0, page).unwrap();
        for expected in ["asked 0\n", "asked 1\n"] {
            let http = Http::afresh(Limits::QUESTION, Certificates::Checked);
            let answered = http.get(&format!("http://127.0.0.1:{port}/metrics"), 1024).unwrap();
            assert_eq!((answered.status, String::from_utf8(answered.body).unwrap().as_str()), (200, expected));
        }
        assert!(talk(port, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(talk(port, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
        assert!(talk(port, b"").starts_with("HTTP/1.1 405 "));
        assert!(talk(port, b"GET /metrics HTTP/1.0\n\n").ends_with("asked 2\n"));
    }

    #[test]
    fn clients_that_ask_for_nothing_keep_nobody_from_the_metrics() {
        let port = serve(0, || "all is well\n".to_owned()).unwrap();
        let _held: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()).collect();
        assert!(talk(port, b"GET /metrics HTTP/1.1\r\n\r\n").ends_with("all is well\n"));
    }

    #[test]
    fn a_port_that_is_taken_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = serve(port, String::new).unwrap_err();
        assert!(format!("{error:#}").starts_with(&format!("serving metrics at 127.0.0.1:{port}: ")), "{error:#}");
    }
}
