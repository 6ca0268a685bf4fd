//! A node that was up once, and whose metadata service is gone, wrong or somebody else: what was kept is used, and said to be stale.
//! May not reach anything but loopback; no test here waits for a clock.
#![expect(clippy::disallowed_methods, reason = "a test spoils and looks at files")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use anymetal_contract::plan::Arch;
use anymetal_contract::{Digest, Unit, place};
use anymetal_lab::http::{Response, Server};

use super::*;
use crate::goldens;
use crate::ledger::{Keeper, What};
use crate::settle::{self, Verdict};
use crate::sys::fs;
use crate::world::{Overrides, Planned};

const MACHINE: &str = "0123456789abcdef0123456789abcdef";

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Steps for Told {
    fn step(&self, step: &str, _: Outcome, message: &str) {
        self.0.lock().unwrap().push(format!("{step}: {message}"));
    }
    fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
}

fn document(name: &str) -> String {
    std::fs::read_to_string(goldens::documents().join(name)).unwrap()
}

/// A run on the machine below this folder. `deadline`: of the phase, in seconds; what was kept is used after a quarter of it.
fn run(root: &Path, machine: &str, platform: &str, base: &str, deadline: u32) -> World {
    let overrides = Overrides { metadata: Some(base.into()), ..Overrides::default() };
    let world = World::new(root, Arch::X86_64, overrides);
    let mut plan = goldens::plan(vec![]);
    plan.platform = platform.into();
    plan.anycast.v4 = vec!["198.51.100.7/32".into()];
    plan.deadlines.insert(Phase::Metadata, deadline);
    assert!(world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).is_ok());
    let begun = Keeper::begin(&world.at(place::LEDGER), machine, &What::default()).unwrap();
    assert!(world.ledger.set(begun.keeper).is_ok());
    world
}

fn ask(world: &World) -> Result<Answer, Failure> {
    work(world, &Told::default())
}

/// What is waited for.
fn waiting(world: &World) -> String {
    match ask(world).unwrap() {
        Answer::Waiting { message, .. } => message,
        other => panic!("{other:?} is not a wait"),
    }
}

/// A folder of a machine that was up once, by this document.
fn up_once(platform: &str, name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = document(name);
    let server = Server::start(move |_, _| Response::ok(text.clone()));
    assert!(matches!(ask(&run(folder.path(), MACHINE, platform, &server.url(), 0)).unwrap(), Answer::Done(_)));
    folder
}

/// Nobody answers there.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn what_a_machine_was_told_is_kept_for_its_owner_alone_and_bound_to_it() {
    let folder = up_once("equinix-metal", "v4-multihop-md5.json");
    let path = folder.path().join("var/lib/anymetal/metadata.json");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!((kept["machine_id"].as_str(), kept["platform"].as_str()), (Some(MACHINE), Some("equinix-metal")));
    assert_eq!(kept["document"], document("v4-multihop-md5.json"));
}

#[test]
fn a_service_that_is_gone_wrong_or_somebody_else_is_done_without() {
    let folder = up_once("equinix-metal", "v4-multihop.json");
    let answers = |response: Response| Server::start(move |_, _| response.clone());
    let foreign = document("v4-multihop.json").replace("10.0.0.0/8", "0.0.0.0/0");
    for (server, words) in [
        (answers(Response::new(404, r#"{"message":"resource not found"}"#)), "it answers 404"),
        (answers(Response::new(403, "no")), "it answers 403"),
        (answers(Response::new(410, "gone")), "it answers 410"),
        (answers(Response::new(503, "")), "it answers 503"),
        (answers(Response::ok("<html>this domain is for sale</html>")), "this is an HTML page"),
        (answers(Response::ok("{}")), "does not describe a machine"),
        (answers(Response::ok(foreign)), "0.0.0.0/0 of its private_subnets lies in no private network"),
        (answers(Response::ok(document("no-session.json"))), "no BGP session of it for IPv4 yet"),
    ] {
        let world = run(folder.path(), MACHINE, "equinix-metal", &server.url(), 0);
        let told = Told::default();
        let answer = work(&world, &told).unwrap();
        let Answer::Done(sentence) = answer else { panic!("{words}: {answer:?}") };
        let since = world.machine().stale_since.clone().unwrap();
        let expected =
            format!("edge-1 in da11, private 10.66.142.17, 2 BGP neighbours; metadata is stale since {since}");
        assert_eq!(sentence, expected);
        let told = told.0.into_inner().unwrap();
        let [warning] = &told[..] else { panic!("{told:?}") };
        assert!(warning.starts_with(&format!("warning: metadata is stale since {since}: ")), "{warning}");
        assert!(warning.contains(words), "{warning} does not say {words:?}");
    }
}

#[test]
fn every_platform_is_done_without_and_a_name_that_is_no_longer_known_too() {
    for (platform, name, base) in [
        ("vultr", "vultr-bare-metal.json", NOBODY),
        ("equinix-metal", "v4-on-link.json", NOBODY),
        ("equinix-metal", "v4-on-link.json", "https://metadata.gone.invalid"),
    ] {
        let folder = up_once(platform, name);
        let world = run(folder.path(), MACHINE, platform, base, 0);
        assert!(matches!(ask(&world).unwrap(), Answer::Done(_)), "{platform} {base}");
        assert!(world.machine().stale_since.is_some());
        let again = run(folder.path(), MACHINE, platform, base, 0);
        assert!(matches!(ask(&again).unwrap(), Answer::Done(_)), "used once, it is used again");
    }
    let folder = tempfile::tempdir().unwrap();
    let world = run(folder.path(), MACHINE, "file", NOBODY, 0);
    let own = world.at(place::MACHINE);
    fs::replace(&own, document("file-rack.json").as_bytes(), 0o600).unwrap();
    assert!(matches!(ask(&world).unwrap(), Answer::Done(_)));
    for spoilt in [Some("{"), None] {
        match spoilt {
            Some(text) => std::fs::write(&own, text).unwrap(),
            None => std::fs::remove_file(&own).unwrap(),
        }
        let world = run(folder.path(), MACHINE, "file", NOBODY, 0);
        assert!(matches!(ask(&world).unwrap(), Answer::Done(_)), "{spoilt:?}");
        assert!(world.machine().stale_since.is_some());
    }
}

#[test]
fn the_first_boot_waits_and_a_later_one_waits_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let said = waiting(&run(folder.path(), MACHINE, "equinix-metal", NOBODY, 0));
    assert!(said.starts_with("asking ") && !said.contains("kept"), "{said}");
    let folder = up_once("equinix-metal", "v4-multihop.json");
    let patient = run(folder.path(), MACHINE, "equinix-metal", NOBODY, 900);
    assert_eq!(patience(&patient), Duration::from_mins(1));
    assert_eq!(patience(&run(folder.path(), MACHINE, "equinix-metal", NOBODY, 20)), Duration::from_secs(5));
    let said = waiting(&patient);
    assert!(said.contains("; what was kept of 20") && said.ends_with(" is used before long"), "{said}");
}

#[test]
fn another_machines_or_platforms_document_and_a_damaged_one_are_never_used() {
    let other = "f".repeat(32);
    let folder = up_once("equinix-metal", "v4-multihop-md5.json");
    let said = |machine: &str, platform: &str| waiting(&run(folder.path(), machine, platform, NOBODY, 0));
    assert!(said(MACHINE, "vultr").ends_with(r#"what was kept is not used: it is of the platform "equinix-metal""#));
    assert!(said(&other, "equinix-metal").ends_with("what was kept is not used: it is of another machine"));
    let path = folder.path().join("var/lib/anymetal/metadata.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    for (spoilt, words) in [
        (whole.replace("edge-1", "edge-2"), "it is damaged: its digest is another"),
        (whole[..whole.len() / 2].to_owned(), "it is damaged (line 1, column "),
        (String::new(), "it is damaged (line 1, column 0)"),
        (whole.replace("\"version\":1,\"machine_id\"", "\"version\":2,\"machine_id\""), "another kind or version"),
    ] {
        std::fs::write(&path, spoilt).unwrap();
        let said = said(MACHINE, "equinix-metal");
        assert!(said.contains("what was kept is not used: ") && said.contains(words), "{said} does not say {words:?}");
        assert!(!said.contains("not-a-real-secret"), "{said}");
    }
}

#[test]
fn the_next_run_asks_again_and_keeps_what_is_newer() {
    let folder = up_once("equinix-metal", "v4-multihop.json");
    assert!(matches!(ask(&run(folder.path(), MACHINE, "equinix-metal", NOBODY, 0)).unwrap(), Answer::Done(_)));
    let newer = document("v4-multihop.json").replace("\"edge-1\"", "\"edge-9\"");
    let server = Server::start(move |_, _| Response::ok(newer.clone()));
    let world = run(folder.path(), MACHINE, "equinix-metal", &server.url(), 0);
    assert!(matches!(ask(&world).unwrap(), Answer::Done(_)));
    assert_eq!((world.machine().hostname.as_str(), world.machine().stale_since.as_ref()), ("edge-9", None));
    let world = run(folder.path(), MACHINE, "equinix-metal", NOBODY, 0);
    assert!(matches!(ask(&world).unwrap(), Answer::Done(_)));
    assert_eq!(world.machine().hostname, "edge-9");
    // Where the service was answered stays closed to workloads when its name is known no more.
    let answered = server.url().trim_start_matches("http://").parse().unwrap();
    assert!(world.machine().service.contains(&answered));
}

#[test]
fn the_boots_last_sentence_says_that_metadata_is_stale() {
    let folder = up_once("equinix-metal", "v4-multihop.json");
    let world = run(folder.path(), MACHINE, "equinix-metal", NOBODY, 0);
    assert!(matches!(ask(&world).unwrap(), Answer::Done(_)));
    assert!(world.verdict.set(Verdict { took: Duration::from_secs(7), failed: None }).is_ok());
    let since = world.machine().stale_since.clone().unwrap();
    let expected = format!("node is up, plan 000000000000, 7 s; metadata is stale since {since}");
    assert_eq!(settle::work(&world, &Told::default()).unwrap(), Answer::Done(expected));
}

#[test]
fn plain_http_is_asked_only_when_the_site_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let Whence::Service(service) = &named("equinix-metal").unwrap().whence else { panic!("it has a service") };
    for plain_http in [false, true] {
        let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
        let mut plan = goldens::plan(vec![]);
        plan.metadata.plain_http = plain_http;
        assert!(world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).is_ok());
        let without_tls = bases(&world, service).into_iter().filter(|base| base.starts_with("http://")).count();
        assert_eq!(without_tls, if plain_http { 2 } else { 0 });
    }
    let pointed = run(folder.path(), MACHINE, "equinix-metal", NOBODY, 0);
    assert_eq!(bases(&pointed, service), [NOBODY], "the kernel's command line is root's own word");
    let Whence::Service(service) = &named("vultr").unwrap().whence else { panic!("it has a service") };
    assert_eq!(service.bases, ["http://169.254.169.254"], "link-local, and plain by nature");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_, _| Response::ok(document("v4-multihop.json")));
    let to = elsewhere.url();
    let server = Server::start(move |_, _| Response {
        headers: vec![("Location".into(), format!("{to}/metadata"))],
        ..Response::new(302, "")
    });
    let folder = tempfile::tempdir().unwrap();
    let said = waiting(&run(folder.path(), MACHINE, "equinix-metal", &server.url(), 0));
    assert!(said.contains("it answers 302"), "{said}");
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn a_stranger_named_for_reports_is_told_nothing() {
    let server = Server::start(|_, _| Response::ok(document("v4-multihop.json")));
    let folder = tempfile::tempdir().unwrap();
    let mut world = run(folder.path(), MACHINE, "equinix-metal", &server.url(), 0);
    world.plan.get_mut().unwrap().plan.reports = vec![Report::Platform];
    let told = Told::default();
    assert!(matches!(work(&world, &told).unwrap(), Answer::Done(_)));
    assert_eq!(world.machine().user_state_url, None);
    let told = told.0.into_inner().unwrap();
    let expected = "user_state_url is \"http://tinkerbell.da11.packet.net/events\", not of the metadata service itself, so it is told nothing";
    assert!(told.len() == 1 && told[0].contains(expected), "{told:?}");
}
