//! Clients beside a proxy that writes down what it is asked, and beside servers that do.

#![expect(clippy::disallowed_methods, reason = "the suite has servers of its own")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::http::{Certificates, Http, Limits, Outside};
use crate::proxy::Proxies;

/// A server that keeps the head of every request, and answers each with this on a connection of its own.
struct Heads {
    port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Heads {
    fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&heads);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(&client, answer, &kept));
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut client: &TcpStream, answer: &str, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        kept.lock().unwrap().push(head.clone());
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        if answer.is_empty() && head.starts_with("CONNECT ") {
            let Ok(mut server) = TcpStream::connect(target) else { return };
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let (mut up, mut back) = (reader.into_inner(), server.try_clone().unwrap());
            let answers = client.try_clone().unwrap();
            thread::spawn(move || std::io::copy(&mut back, &mut { answers }));
            let _closed = std::io::copy(&mut up, &mut server);
            return;
        }
        let answer = if answer.is_empty() { "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere" } else { answer };
        client.write_all(answer.as_bytes()).unwrap();
    }
}

fn client(variables: &[(&str, &str)]) -> Http {
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let proxies = Proxies::of(|name| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()));
    Http::outward(Limits::QUESTION, Certificates::Checked, &Outside::new(proxies, Vec::new()))
}

const HERE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhere";

#[test]
fn plain_http_goes_by_the_absolute_form_and_the_proxy_looks_the_name_up() {
    let proxy = Heads::answering("");
    let http = client(&[("http_proxy", &format!("http://user:w%40rd@127.0.0.1:{}", proxy.port))]);
    for path in ["/debian/dists/x?y=z", "/second"] {
        let answer = http.get(&format!("http://deb.invalid{path}"), 9).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"here"[..]));
    }
    let heads = proxy.heads();
    for (head, path) in heads.iter().zip(["/debian/dists/x?y=z", "/second"]) {
        let expected = format!("GET http://deb.invalid{path} HTTP/1.1\r\nproxy-authorization: Basic dXNlcjp3QHJk\r\n");
        assert!(head.starts_with(&expected), "{head}");
        assert!(head.to_lowercase().contains("\r\nhost: deb.invalid\r\n"), "{head}");
    }
    assert_eq!(heads.len(), 2);
}

#[test]
fn a_long_request_and_a_body_go_through_whole() {
    let proxy = Heads::answering(HERE);
    let http = client(&[("all_proxy", &format!("127.0.0.1:{}", proxy.port))]);
    let url = format!("http://a.invalid/{}", "x".repeat(7000));
    assert_eq!(http.get(&url, 9).unwrap().status, 200);
    assert!(proxy.heads()[0].starts_with(&format!("GET {url} HTTP/1.1\r\n")));
    assert_eq!(http.post_json("http://a.invalid/hook", "{}").unwrap().status, 200);
    assert!(proxy.heads()[1].starts_with("POST http://a.invalid/hook HTTP/1.1\r\n"), "{}", proxy.heads()[1]);
}

#[test]
fn only_the_scheme_of_a_variable_goes_through_its_proxy() {
    let (proxy, origin) = (Heads::answering(HERE), Heads::answering(HERE));
    let http = client(&[("https_proxy", &format!("http://127.0.0.1:{}", proxy.port))]);
    assert_eq!(http.get(&format!("http://127.0.0.1:{}/x", origin.port), 9).unwrap().status, 200);
    assert!(proxy.heads().is_empty(), "{:?}", proxy.heads());
    assert!(origin.heads()[0].starts_with("GET /x HTTP/1.1\r\n"), "{:?}", origin.heads());
}

#[test]
fn https_asks_for_a_tunnel_and_says_what_became_of_it() {
    for (answer, said) in [
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403 to CONNECT a.invalid:443"),
        ("HTTP/1.1 407 Proxy\r\n\r\n", "it wants user and password; hint: write them into https_proxy, as in"),
        ("nonsense\r\n\r\n", "answered "),
    ] {
        let proxy = Heads::answering(answer);
        let url = format!("http://127.0.0.1:{}", proxy.port);
        let error = client(&[("https_proxy", &url)]).get("https://a.invalid/x", 9).err().unwrap();
        let error = format!("{error:#}");
        assert!(
            error.starts_with(&format!("asking https://a.invalid/x through the proxy {url} of https_proxy: ")),
            "{error}"
        );
        assert!(error.contains(said), "{error}");
        assert!(proxy.heads()[0].starts_with("CONNECT a.invalid:443 HTTP/1.1\r\nHost: a.invalid:443\r\n"));
    }
}

#[test]
fn what_goes_through_a_tunnel_is_the_servers() {
    // The server speaks no TLS: that this is seen proves that the handshake came to it.
    let (proxy, origin) = (Heads::answering(""), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = origin.local_addr().unwrap().port();
    let first = thread::spawn(move || {
        let (mut client, _) = origin.accept().unwrap();
        let mut first = [0; 3];
        client.read_exact(&mut first).unwrap();
        client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        first
    });
    let http = client(&[("https_proxy", &format!("http://127.0.0.1:{}", proxy.port))]);
    let error = http.get(&format!("https://localhost:{port}/x"), 9).err().unwrap();
    assert_eq!(first.join().unwrap(), [22, 3, 1], "no handshake of TLS: {error:#}");
    assert!(proxy.heads()[0].starts_with(&format!("CONNECT localhost:{port} ")), "{:?}", proxy.heads());
}

#[test]
fn a_proxy_that_wants_credentials_or_is_not_there_is_named() {
    let proxy = Heads::answering("HTTP/1.1 407 Proxy\r\ncontent-length: 0\r\n\r\n");
    let url = format!("http://user:hunter2@127.0.0.1:{}", proxy.port);
    let error = format!("{:#}", client(&[("http_proxy", &url)]).get("http://a.invalid/", 9).err().unwrap());
    assert!(error.contains("the proxy answered 407") && error.contains("names others than it takes"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{gone}");
    let error = format!("{:#}", client(&[("http_proxy", &url)]).get("http://a.invalid/", 9).err().unwrap());
    assert!(error.starts_with(&format!("asking http://a.invalid/ through the proxy {url} of http_proxy: ")), "{error}");
    let error = client(&[("http_proxy", "socks5://127.0.0.1:9")]).get("http://a.invalid/", 9).err().unwrap();
    assert!(
        format!("{error:#}").contains("http_proxy of the environment names a proxy of the kind \"socks5\""),
        "{error:#}"
    );
}
