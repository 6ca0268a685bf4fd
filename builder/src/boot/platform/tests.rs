//! The simulated platform as a machine sees it, by the rules of `facts` sections 1.1, 3 and 6.2: questions in, answers out.
//! May not open a socket but in the last test, which goes through one.

#![expect(clippy::disallowed_methods, reason = "the socket and the blobs of the last tests")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc;

use super::*;

/// One question over a real socket: status, head and body.
fn talk(platform: &Platform, question: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(platform.url().trim_start_matches("http://")).unwrap();
    write!(
        stream,
        "{question} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

fn world(config: Config) -> World {
    let blobs = blobs::list(&config.origins).unwrap();
    let log = Mutex::new(Log { base: "http://p:1".into(), ..Log::default() });
    World { config, blobs, listen: Box::new(|_| {}), log, lab: Lab::default() }
}

fn ask(world: &World, at: u64, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    world.answer(&Asked {
        at: Duration::from_secs(at),
        method: method.into(),
        path: path.into(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.into(),
    })
}

fn text(answer: &Answer) -> String {
    match &answer.body {
        Body::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Body::File { .. } => panic!("a file was answered, not text"),
    }
}

fn has_sessions(world: &World, at: u64) -> bool {
    let answer = ask(world, at, "GET", "/metadata", &[], "");
    assert_eq!(answer.status, 200);
    serde_json::from_str::<Value>(&text(&answer)).unwrap().get("bgp_neighbors").is_some()
}

#[test]
fn there_is_no_lab_unless_it_was_asked_for() {
    let without = world(Config::on_loopback());
    assert_eq!(ask(&without, 1, "GET", "/lab/next", &[], "").status, 404);
    let with = world(Config { lab: true, ..Config::on_loopback() });
    assert_eq!(ask(&with, 1, "POST", "/lab/ran/0/0", &[], "").status, 404, "nobody asked for this");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| with.lab.ask("true", Duration::from_secs(1), Duration::from_secs(30)));
        let script = ask(&with, 2, "GET", "/lab/next", &[], "");
        assert_eq!((script.status, text(&script)), (200, "#lab 0 1\ntrue\n".to_owned()));
        assert_eq!(ask(&with, 3, "POST", "/lab/ran/0/0", &[], "said").status, 200);
        assert_eq!(asking.join().unwrap().unwrap(), Ran { status: 0, output: "said".into() });
    });
    with.lab.close();
    assert_eq!(ask(&with, 4, "GET", "/lab/next", &[], "").status, 204);
}

#[test]
fn bgp_sessions_appear_a_while_after_metadata_was_first_asked_for() {
    let world = world(Config { bgp_after: Duration::from_secs(10), ..Config::on_loopback() });
    let seen: Vec<bool> = [100, 109, 110, 500].into_iter().map(|at| has_sessions(&world, at)).collect();
    assert_eq!(seen, [false, false, true, true]);
}

#[test]
fn bgp_sessions_can_stay_away() {
    let world = world(Config { faults: vec![Fault::NoBgp], ..Config::on_loopback() });
    assert!(![0, 86_400].into_iter().any(|at| has_sessions(&world, at)));
}

#[test]
fn metadata_can_fail_for_a_while_and_then_be_there() {
    let world = world(Config { faults: vec![Fault::Metadata500(Duration::from_mins(2))], ..Config::on_loopback() });
    let statuses: Vec<u16> = [5, 124, 125].map(|at| ask(&world, at, "GET", "/metadata", &[], "").status).to_vec();
    assert_eq!(statuses, [500, 500, 200]);
}

#[test]
fn truncated_metadata_is_a_success_that_cannot_be_read() {
    let world = world(Config { faults: vec![Fault::MetadataTruncated], ..Config::on_loopback() });
    let answer = ask(&world, 0, "GET", "/metadata", &[], "");
    assert_eq!(answer.status, 200);
    assert!(serde_json::from_str::<Value>(&text(&answer)).unwrap_err().is_eof());
}

#[test]
fn metadata_is_refused_to_who_does_not_accept_json() {
    let world = world(Config::on_loopback());
    for (accept, status) in [("*/*", 200), ("application/json", 200), ("text/html, */*;q=0.1", 200), ("text/html", 406)]
    {
        assert_eq!(ask(&world, 0, "GET", "/metadata", &[("accept", accept)], "").status, status, "{accept}");
    }
}

#[test]
fn user_data_is_answered_byte_for_byte_or_not_found() {
    let bare = world(Config::on_loopback());
    assert_eq!(ask(&bare, 0, "GET", "/userdata", &[], "").status, 404);
    let world = world(Config { user_data: Some(b"#cloud-config\n".to_vec()), ..Config::on_loopback() });
    for path in ["/userdata", "/2009-04-04/user-data", "/api/v1/userdata"] {
        let answer = ask(&world, 0, "GET", path, &[], "");
        assert_eq!((answer.status, text(&answer).as_str()), (200, "#cloud-config\n"), "{path}");
    }
}

#[test]
fn only_the_oldest_date_of_the_ec2_form_is_there_and_it_is_plain_text() {
    let world = world(Config::on_loopback());
    for (method, path, status) in [
        ("GET", "/2021-03-23/meta-data/instance-id", 404),
        ("GET", "/2018-09-24/meta-data/instance-id", 404),
        ("GET", "/2016-09-02/meta-data/instance-id", 404),
        ("PUT", "/latest/api/token", 404),
        ("GET", "/2009-04-04/meta-data/instance-id", 200),
        ("GET", "/2009-04-04/meta-data/", 200),
        ("GET", "/2009-04-04/meta-data/operating-system", 200),
        ("GET", "/2009-04-04/meta-data/spot", 404),
        ("POST", "/metadata", 404),
    ] {
        let answer = ask(&world, 0, method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}");
        if status == 200 {
            assert!(answer.headers[0].1.starts_with("text/plain"), "{path}: {:?}", answer.headers);
        }
    }
}

#[test]
fn user_states_are_kept_and_every_broken_rule_is_told() {
    let world = world(Config::on_loopback());
    let post = |body: &str| ask(&world, 0, "POST", "/events", &[], body).status;
    assert_eq!(post(r#"{"state":"running","code":1001,"message":"metadata: waiting"}"#), 200);
    assert_eq!(post(r#"{"state":"running","code":7,"message":"metadata: waiting"}"#), 200);
    assert_eq!(post(r#"{"state":"running","code":"1001","message":"m"}"#), 400);
    let log = world.log();
    assert_eq!(log.user_states.iter().map(|state| state.code).collect::<Vec<_>>(), [1001, 7]);
    assert_eq!(log.violations.len(), 2, "{:?}", log.violations);
    assert!(log.violations[0].contains("code 7") && log.violations[1].contains("refused"), "{:?}", log.violations);
}

#[test]
fn phoning_home_makes_the_device_active_in_its_own_metadata() {
    let world = world(Config::on_loopback());
    let state = |at| {
        let document: Value = serde_json::from_str(&text(&ask(&world, at, "GET", "/metadata", &[], ""))).unwrap();
        document["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(0), "provisioning");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(ask(&world, 1, "POST", "/phone-home", &form, "instance_id=7").status, 200);
    assert_eq!(state(2), "active");
    assert_eq!(ask(&world, 3, "PUT", "/phone-home", &[], r#"{"type":"failure","reason":"no disk"}"#).status, 200);
    assert_eq!(state(4), "failed");
    assert_eq!(ask(&world, 5, "POST", "/phone-home", &[("content-type", "text/xml")], "").status, 400);
}

#[test]
fn events_reach_the_listener_once_and_over_a_real_socket() {
    let (sender, heard) = mpsc::channel();
    let platform =
        Platform::start(Config::on_loopback(), Box::new(move |event| sender.send(event.seq).unwrap())).unwrap();
    let event = |seq: u64| {
        format!(
            r#"{{"kind":"anymetal.event","version":1,"seq":{seq},"time":"t","site":"s","node":"n","plan":"","phase":"wake","outcome":"done","message":"m"}}"#
        )
    };
    for (body, status) in [(event(1), 200), (event(1), 200), (event(2), 200), ("{}".into(), 400)] {
        assert_eq!(talk(&platform, "POST /report", &body).0, status, "{body}");
    }
    assert_eq!(heard.try_iter().collect::<Vec<_>>(), [1, 2]);
    let (status, _, body) = talk(&platform, "GET /metadata", "");
    assert_eq!(status, 200);
    assert!(body.contains(&format!("{}/events", platform.url())), "{body}");
    assert_eq!(platform.log().asked("/report").count(), 4);
}

#[test]
fn a_blob_comes_with_its_length_in_parts_and_damaged_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let name = "ab".repeat(32);
    let bytes = "0123456789".repeat(20_000); // longer than what tiny_http would chunk by itself
    std::fs::create_dir(folder.path().join("sha256")).unwrap();
    std::fs::write(folder.path().join("sha256").join(&name), &bytes).unwrap();
    let whole = Config { origins: vec![folder.path().to_owned()], ..Config::on_loopback() };
    let broken = Config { faults: vec![Fault::Corrupt("aba".into()), Fault::Slow(100_000_000)], ..whole.clone() };

    let platform = Platform::start(whole, Box::new(|_| {})).unwrap();
    let (status, head, body) = talk(&platform, &format!("GET /sha256/{name}"), "");
    assert_eq!((status, body == bytes), (200, true));
    assert!(head.contains("content-length: 200000") && !head.contains("chunked"), "{head}");
    let (status, _, body) =
        talk(&platform, &format!("GET /sha256/{name} HTTP/1.1\r\nRange: bytes=199995-\r\nX-Rest:"), "");
    assert_eq!((status, body.as_str()), (206, "56789"));
    let (status, head, body) = talk(&platform, &format!("HEAD /sha256/{name}"), "");
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("content-length: 200000"), "{head}");

    let platform = Platform::start(broken, Box::new(|_| {})).unwrap();
    let (status, _, body) = talk(&platform, &format!("GET /sha256/{name}"), "");
    let differ = body.chars().zip(bytes.chars()).filter(|(sent, right)| sent != right).count();
    assert_eq!((status, body.chars().count(), differ), (200, 200_000, 1));
}
