use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};

use super::*;

/// Answers every connection so, and counts nothing.
fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let read = client.read(&mut request).unwrap();
            let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
            let host = request.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
            let body = format!("{answer} {host}");
            let length = body.len();
            let _gone = write!(client, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    address
}

fn body(heard: Heard) -> String {
    String::from_utf8(heard.answer.unwrap().body).unwrap()
}

#[test]
fn a_name_is_asked_at_the_address_that_is_said() {
    let address = server("well");
    let probe = Probe::new(Duration::from_secs(20));
    for within in [false, true] {
        let way = Way { at: Some("127.0.0.1"), within, verify: false };
        let url = format!("http://app.example.org:{}/healthz?x=1", address.port());
        assert_eq!(body(probe.get(&url, way, 1024)), format!("well app.example.org:{}", address.port()));
    }
    assert_eq!(body(probe.get(&format!("http://{address}/"), Way::default(), 1024)), format!("well {address}"));
}

#[test]
fn what_fails_names_the_address_and_why() {
    let probe = Probe::new(Duration::from_secs(20));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let way = Way { at: Some("127.0.0.1"), within: true, verify: false };
    let error = probe.get(&format!("http://app.example.org:{port}/"), way, 1024).answer.err().unwrap();
    assert_eq!(format!("{error:#}"), "asking 127.0.0.1: io: Connection refused (os error 111)");
}

#[test]
fn who_does_not_answer_is_given_up_at_the_limit() {
    // It takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let error = Probe::new(Duration::from_millis(200)).get(&url, Way::default(), 1024).answer.err().unwrap();
    assert!(format!("{error:#}").contains("timeout"), "{error:#}");
}
