//! The poll against a server that says what it is told; no test here waits for a clock.
//! May not reach anything but loopback, and sets no clock.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use anymetal_contract::plan::Arch;
use anymetal_contract::{Digest, Unit};
use anymetal_lab::http::{Response, Server};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;
use crate::goldens;
use crate::world::{Overrides, Planned};

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Steps for Told {
    fn step(&self, step: &str, outcome: Outcome, message: &str) {
        self.0.lock().unwrap().push(format!("{step} {}: {message}", outcome.word()));
    }
    fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
}

impl Told {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A world under a root of no machine, for a site that announces these.
fn world(metadata: &str, v4: &[&str], v6: &[&str]) -> World {
    world_of("equinix-metal", metadata, v4, v6)
}

/// The same on another platform.
fn world_of(platform: &str, metadata: &str, v4: &[&str], v6: &[&str]) -> World {
    let overrides = Overrides { metadata: Some(metadata.into()), ..Overrides::default() };
    let world = World::new("/nowhere/at/all", Arch::X86_64, overrides);
    let mut plan = goldens::plan(vec![]);
    plan.platform = platform.into();
    plan.anycast.v4 = v4.iter().map(ToString::to_string).collect();
    plan.anycast.v6 = v6.iter().map(ToString::to_string).collect();
    assert!(world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).is_ok());
    world
}

fn document(name: &str) -> String {
    std::fs::read_to_string(goldens::documents().join(name)).unwrap()
}

fn waiting(world: &World) -> (Reason, String) {
    match work(world, &Told::default()).unwrap() {
        Answer::Waiting { reason, message, .. } => (reason, message),
        other => panic!("{other:?} is not a wait"),
    }
}

const V4: &[&str] = &["198.51.100.7/32"];

#[test]
fn a_machine_that_is_there_is_kept_and_told_in_one_sentence() {
    let server = Server::start(|_, _| Response::ok(document("v4-multihop.json")));
    let world = world(&format!("{}/", server.url()), V4, &[]);
    let told = Told::default();
    let sentence = "edge-1 in da11, private 10.66.142.17, 2 BGP neighbours".to_owned();
    assert_eq!(work(&world, &told).unwrap(), Answer::Done(sentence.clone()));
    assert_eq!(work(&world, &told).unwrap(), Answer::Same(sentence));
    assert_eq!(told.all(), Vec::<String>::new());
    assert_eq!(world.machine().neighbours.len(), 2);
    let requests = server.requests();
    assert_eq!(requests.len(), 1, "a machine that is known is not asked for again");
    assert_eq!((requests[0].path.as_str(), requests[0].header("accept")), ("/metadata", Some("*/*")));
}

#[test]
fn warnings_are_told_once_when_the_machine_is_accepted() {
    let server = Server::start(|_, _| Response::ok(document("v4-customer-ip-differs.json")));
    let told = Told::default();
    assert!(matches!(work(&world(&server.url(), V4, &[]), &told).unwrap(), Answer::Done(_)));
    let expected = "bgp_neighbors[0] has customer_ip 10.99.1.9, but the private IPv4 management address is 10.66.142.17, which is used";
    assert_eq!(told.all(), [format!("warning done: {}/metadata: {expected}", server.url())]);
}

#[test]
fn the_poll_goes_on_until_the_session_is_there() {
    let server = Server::start(|_, before| match before {
        0 => Response::new(404, r#"{"message":"resource not found"}"#),
        1 => Response::new(500, r#"{"errors":["internal server error"]}"#),
        2 => Response::ok(&document("v4-multihop.json")[..700]),
        3 => Response { cut_after: Some(100), ..Response::ok(document("v4-multihop.json")) },
        4 => Response::ok(r#"{"error":"try later"}"#),
        5 => Response::ok(document("no-session.json")),
        _ => Response::ok(document("v4-multihop.json")),
    });
    let world = world(&server.url(), V4, &[]);
    let url = format!("{}/metadata", server.url());
    for (reason, words) in [
        (Reason::MetadataUnreachable, "it answers 404, resource not found: the service does not know this machine yet"),
        (Reason::MetadataUnreachable, "it answers 500, internal server error"),
        (Reason::MetadataInvalid, "it is cut off after 700 bytes"),
        (Reason::MetadataUnreachable, "reading the answer of"),
        (Reason::MetadataUnreachable, "it is an error answer: try later"),
        (
            Reason::MetadataNoBgp,
            "knows the machine edge-1, but no BGP session of it for IPv4 yet: \
             enable BGP on the project and create the session for this device",
        ),
    ] {
        let waited = waiting(&world);
        assert_eq!(waited.0, reason, "{}", waited.1);
        assert!(waited.1.contains(words) && waited.1.contains(&url), "{} does not say {words:?} of {url}", waited.1);
    }
    assert!(matches!(work(&world, &Told::default()).unwrap(), Answer::Done(_)));
}

#[test]
fn vultr_is_asked_with_its_header_and_waited_for_until_bgp_is_on() {
    let server = Server::start(|_, before| match before {
        0 => Response::new(404, "Not Found"),
        1 => Response::ok(document("vultr-bgp-off.json")),
        _ => Response::ok(document("vultr-vps.json")),
    });
    let world = world_of("vultr", &server.url(), V4, &["2001:db8:45d1:fd80::7/128"]);
    let url = format!("{}/v1.json", server.url());
    assert_eq!(waiting(&world), (Reason::MetadataUnreachable, format!("asking {url}: it answers 404")));
    assert_eq!(
        waiting(&world),
        (
            Reason::MetadataNoBgp,
            format!(
                "{url} knows the machine edge-v1, but no BGP session of it for IPv4 and IPv6 yet: have BGP set up for the account, \
                 then enable it for this server on its own page of the panel"
            )
        )
    );
    let sentence = "edge-v1 in EWR, private 10.1.112.3, 2 BGP neighbours".to_owned();
    assert_eq!(work(&world, &Told::default()).unwrap(), Answer::Done(sentence));
    for request in server.requests() {
        assert_eq!((request.path.as_str(), request.header("metadata-token")), ("/v1.json", Some("vultr")));
    }
}

#[test]
fn the_address_of_a_service_is_known_even_when_it_is_no_name() {
    let Whence::Service(service) = &named("vultr").unwrap().whence else { panic!("vultr has a service") };
    let expected = ["169.254.169.254:80", "169.254.169.254:443"].map(|socket| socket.parse().unwrap());
    assert_eq!(sockets(service.bases), BTreeSet::from(expected));
}

#[test]
fn every_announced_family_needs_a_session() {
    let v6: &[&str] = &["2001:db8:45d1:fd80::7/128"];
    for (document_name, v4, v6, missing) in [
        ("v4-multihop.json", V4, v6, Some("for IPv6 yet")),
        ("v6-only.json", V4, v6, Some("for IPv4 yet")),
        ("no-session.json", V4, v6, Some("for IPv4 and IPv6 yet")),
        ("v4-v6.json", V4, v6, None),
        ("v6-only.json", &[], v6, None),
        ("no-session.json", &[], &[], None),
    ] {
        let server = Server::start(move |_, _| Response::ok(document(document_name)));
        let world = world(&server.url(), v4, v6);
        match missing {
            Some(missing) => {
                let (reason, message) = waiting(&world);
                assert!(
                    reason == Reason::MetadataNoBgp && message.contains(missing),
                    "{document_name}: {reason} {message}"
                );
            }
            None => assert!(matches!(work(&world, &Told::default()).unwrap(), Answer::Done(_)), "{document_name}"),
        }
    }
}

#[test]
fn nobody_there_is_waited_for() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    let (reason, message) = waiting(&world(&base, V4, &[]));
    assert_eq!(reason, Reason::MetadataUnreachable);
    assert!(message.starts_with(&format!("asking {base}/metadata: ")) && message.contains("refused"), "{message}");
}

#[test]
fn a_document_without_end_is_not_read() {
    let server = Server::start(|_, _| Response::ok(vec![b' '; 1024 * 1024 + 1]));
    let (reason, message) = waiting(&world(&server.url(), V4, &[]));
    assert_eq!(reason, Reason::MetadataUnreachable);
    assert!(message.ends_with("it is longer than 1048576 bytes"), "{message}");
}

#[test]
fn an_unknown_platform_fails_at_once() {
    let world = world("http://127.0.0.1:1", V4, &[]);
    let mut planned = world.plan.get().unwrap().clone();
    planned.plan.platform = "moonbase".into();
    let elsewhere = World::new("/nowhere", Arch::X86_64, Overrides::default());
    assert!(elsewhere.plan.set(planned).is_ok());
    assert_eq!(work(&elsewhere, &Told::default()).unwrap_err().reason, Reason::PlanBeyondInit);
}

#[test]
fn the_worse_of_several_troubles_gives_the_reason_and_all_are_told() {
    let trouble = |reason, message: &str| Trouble { reason, message: message.into(), clock: false };
    let summed = summed_up(&[
        trouble(Reason::MetadataUnreachable, "asking a: refused"),
        trouble(Reason::MetadataInvalid, "asking b: it is empty"),
    ]);
    let message = "asking a: refused; asking b: it is empty".to_owned();
    assert_eq!(summed, Answer::waiting(Reason::MetadataInvalid, message));
}

/// A server with a certificate of 1 January 2020 that says this to so many who ask, one after the other.
fn server_of_2020(says: String, asks: usize) -> String {
    let folder = goldens::documents();
    let certificate = CertificateDer::from_pem_file(folder.join("expired.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("expired.key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().take(asks) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream.unwrap());
            let _refused = stream.read(&mut [0; 1024]).and_then(|_| stream.write_all(says.as_bytes()));
        }
    });
    url
}

/// The same, and whoever asks is refused the handshake.
fn expired_server(asks: usize) -> String {
    server_of_2020(String::new(), asks)
}

fn dated_server(date: &str) -> String {
    server_of_2020(format!("HTTP/1.1 404 Not Found\r\nDate: {date}\r\n\r\n"), 4)
}

#[test]
fn a_certificate_for_another_time_is_recognised_through_the_real_client() {
    let url = format!("{}/metadata", expired_server(1));
    let error = Http::afresh(Limits::QUESTION, Certificates::Checked).get(&url, MOST).err().unwrap();
    assert!(is_about_the_clock(&error), "{error:#}");
}

#[test]
fn a_foreign_root_does_not_touch_the_clock() {
    let told = Told::default();
    let answer = work(&world(&expired_server(1), V4, &[]), &told).unwrap();
    assert!(
        matches!(&answer, Answer::Waiting { reason: Reason::MetadataUnreachable, message, .. } if message.contains("certificate")),
        "{answer:?}"
    );
    let told = told.all();
    assert_eq!(
        World::new("/", Arch::X86_64, Overrides::default()).at("/"),
        Path::new("/"),
        "on a node the root is known"
    );
    assert!(told.len() == 1 && told[0].starts_with("clock failed: "), "{told:?}");
}

#[test]
fn the_time_is_believed_of_a_certificate_that_is_good_at_that_time_and_of_no_other() {
    let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
    let own = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(goldens::documents().join("expired.pem")).unwrap()).unwrap();
        roots
    };
    // The certificate is of 1 January 2020; the clock is before, within and after; the bounds are such as hold that day, or do not.
    let decade = at("2015-01-01T00:00:00Z")..=at("2025-01-01T00:00:00Z");
    let later = at("2026-11-01T00:00:00Z")..=at("2036-11-01T00:00:00Z");
    let parse = |date: &str| httpdate::parse_http_date(date).ok();
    let noon = "Wed, 01 Jan 2020 12:00:00 GMT";
    for now in ["1970-01-01T00:00:00Z", "2020-01-01T06:00:00Z", "2026-11-22T12:00:00Z"] {
        let said = date::vouched(&dated_server(noon), at(now), &decade, own(), parse).unwrap();
        assert_eq!(said, noon, "at {now}");
    }
    for (date, bounds, roots, words) in [
        ("Fri, 03 Jan 2020 12:00:00 GMT", &decade, own(), "not good at the time that it says"),
        ("Wed, 01 Jan 2031 12:00:00 GMT", &decade, own(), "which cannot be"),
        ("yesterday", &decade, own(), "which cannot be"),
        (noon, &later, own(), "certificate"),
        (noon, &decade, date::roots(), "UnknownIssuer"),
    ] {
        let refused = date::vouched(&dated_server(date), at("2026-11-22T12:00:00Z"), bounds, roots, parse).unwrap_err();
        let said = format!("{refused:#}");
        assert!(said.contains(words), "{date}: {said} does not say {words:?}");
    }
}

#[test]
fn the_clock_is_set_by_the_date_of_a_plain_answer() {
    let date = |date: &'static str| {
        Server::start(move |_, _| Response { headers: vec![("Date".into(), date.into())], ..Response::not_found() })
    };
    let now = humantime::parse_rfc3339("2026-11-21T23:30:00Z").unwrap();
    let noon = "Sun, 22 Nov 2026 12:00:00 GMT";
    let left = "the clock is left alone";
    let (half_a_day, agrees, none) =
        (date(noon), date("Sat, 21 Nov 2026 23:40:00 GMT"), Server::start(|_, _| Response::ok("")));
    let far = date("Thu, 31 Dec 2099 23:59:59 GMT");
    let at = |server: &Server| format!("{}/", server.url());
    for (url, permitted, expected) in [
        (
            at(&half_a_day),
            true,
            format!("clock done: the clock was 12 h 30 min behind: set to {noon}, as {} says", at(&half_a_day)),
        ),
        (
            at(&half_a_day),
            false,
            format!("clock failed: the clock is 12 h 30 min behind by {}, but not permitted; {left}", at(&half_a_day)),
        ),
        (
            at(&agrees),
            true,
            format!(
                "clock failed: the clock agrees with {}, so the certificate itself is out of date; {left}",
                at(&agrees)
            ),
        ),
        (at(&none), true, format!("clock failed: {} answers without a date; {left}", at(&none))),
        (
            at(&far),
            true,
            format!(
                "clock failed: asking {}: the date Thu, 31 Dec 2099 23:59:59 GMT is more than ten years after this program was made; {left}",
                at(&far)
            ),
        ),
    ] {
        let (told, set) = (Told::default(), RefCell::new(None));
        let was_set = set_by(
            &url,
            now,
            |to| {
                if permitted {
                    set.replace(Some(to));
                    Ok(())
                } else {
                    anyhow::bail!("not permitted")
                }
            },
            &told,
        );
        assert_eq!(told.all(), std::slice::from_ref(&expected));
        assert_eq!(was_set, expected.starts_with("clock done"));
        assert_eq!(set.take(), was_set.then(|| humantime::parse_rfc3339("2026-11-22T12:00:00Z").unwrap()));
    }
}
