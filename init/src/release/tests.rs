//! A release and its plan on their way to a node: from origins that fail at first or lie, from a bundle, from its own disk; older, of another site.
#![expect(clippy::disallowed_methods, reason = "tests prepare their own files and look at what is left")]

use anymetal_contract::{Plan, Reason, place, release as contract};
use anymetal_lab::archive::sha256;
use anymetal_lab::http::{Response, Server};
use serde_json::json;

use super::*;
use crate::acquire::tests::Heard;
use crate::plan::work;
use crate::signature::tests::{KEY, node, released as pin, trust};

/// A plan that can be carried out, of this site.
fn plan_of(site: &str) -> Vec<u8> {
    let plan = Plan { site: site.into(), platform: "equinix-metal".into(), ..Plan::default() };
    serde_json::to_vec(&plan).unwrap()
}

fn release_of(site: &str, serial: u64, plan: &[u8]) -> Vec<u8> {
    let release = json!({
        "kind": contract::KIND, "version": contract::VERSION, "site": site, "serial": serial,
        "plan": {"sha256": sha256(plan).to_string(), "size": plan.len()}, "inits": {}, "stub": "0".repeat(64), "unit": "1".repeat(64),
    });
    release.to_string().into_bytes()
}

/// Pins the release, and nothing of it is on the node.
fn start(world: &World, release: &[u8], origins: &[String]) {
    for path in [place::RELEASE, place::PLAN] {
        let _was_not_there = std::fs::remove_file(world.at(path));
    }
    let origins: String = origins.iter().map(|origin| ["origin ", origin, "\n"].concat()).collect();
    let pins = format!("anymetal.pins 1\nrelease {} {}\n{origins}", sha256(release), release.len());
    std::fs::write(world.at(place::PINS), pins).unwrap();
}

/// Serves these blobs, after so many answers of 503.
fn origin(blobs: &[Vec<u8>], busy: usize) -> Server {
    let blobs = blobs.to_vec();
    Server::start(move |request, before| {
        let blob = blobs.iter().find(|blob| request.path.ends_with(&place::blob(&sha256(blob))));
        match blob {
            _ if before < busy => Response::new(503, ""),
            Some(blob) => Response::ok(blob.clone()),
            None => Response::not_found(),
        }
    })
}

fn refused(world: &World) -> Failure {
    work(world, &Heard::default()).unwrap_err()
}

#[test]
fn release_and_plan_are_fetched_by_digest_kept_and_asked_for_only_once() {
    let (plan, (_folder, world)) = (plan_of("demo"), node(&[]));
    let release = release_of("demo", 3, &plan);
    let server = origin(&[plan.clone(), release.clone()], 1);
    start(&world, &release, &[server.url()]);
    let Answer::Waiting { reason, message, .. } = work(&world, &Heard::default()).unwrap() else {
        panic!("it was busy")
    };
    assert_eq!(reason, Reason::ArtefactUnreachable);
    assert!(
        message.starts_with("release: no origin gave the release (sha256 ") && message.contains("503"),
        "{message}"
    );
    // each path is busy once
    let Answer::Waiting { message, .. } = work(&world, &Heard::default()).unwrap() else { panic!("it was busy") };
    assert!(message.starts_with("plan: no origin gave the plan (sha256 "), "{message}");
    let Answer::Done(said) = work(&world, &Heard::default()).unwrap() else { panic!("it is there") };
    let words = format!("plan {} of site demo, release {} serial 3: ", sha256(&plan).short(), sha256(&release).short());
    assert!(said.starts_with(&words), "{said}");
    assert_eq!(std::fs::read(world.at(place::RELEASE)).unwrap(), release);
    assert_eq!(std::fs::read(world.at(place::PLAN)).unwrap(), plan);
    for bytes in [&release, &plan] {
        assert_eq!(std::fs::read(world.at(place::STORE).join(sha256(bytes).as_str())).unwrap(), *bytes);
    }
    let asked = server.requests().len();
    assert!(matches!(work(&world, &Heard::default()).unwrap(), Answer::Done(_)));
    // what cloud-init or a power cut took away is in the store
    std::fs::remove_file(world.at(place::PLAN)).unwrap();
    assert!(matches!(work(&world, &Heard::default()).unwrap(), Answer::Done(_)));
    assert_eq!((server.requests().len(), asked), (asked, 4));
}

#[test]
fn a_place_that_gives_something_else_is_passed_over_and_alone_is_waited_for() {
    let (plan, (_folder, world)) = (plan_of("demo"), node(&[]));
    let release = release_of("demo", 1, &plan);
    let portal = Server::start(|_, _| Response::ok("<html>please log in</html>"));
    start(&world, &release, &[portal.url()]);
    let Answer::Waiting { reason, .. } = work(&world, &Heard::default()).unwrap() else {
        panic!("a portal was believed")
    };
    assert_eq!(reason, Reason::ArtefactMismatch);
    let good = origin(&[plan, release.clone()], 0);
    start(&world, &release, &[portal.url(), good.url()]);
    assert!(matches!(work(&world, &Heard::default()).unwrap(), Answer::Done(_)));
}

#[test]
fn an_older_release_is_refused_with_both_numbers_unless_somebody_says_otherwise() {
    let (plan, (_folder, mut world)) = (plan_of("demo"), node(&[]));
    let put = |world: &World, serial| {
        pin(world, &release_of("demo", serial, &plan));
        std::fs::write(world.at(place::PLAN), &plan).unwrap();
    };
    for serial in [3, 7] {
        put(&world, serial);
        assert!(matches!(work(&world, &Heard::default()).unwrap(), Answer::Done(_)));
    }
    put(&world, 6);
    let failure = refused(&world);
    assert_eq!(failure.reason, Reason::ReleaseStale);
    assert!(failure.chain().ends_with(": its serial is 6, and this node has run serial 7"), "{}", failure.chain());
    // neither does a plan without a release go round it
    std::fs::remove_file(world.at(place::PINS)).unwrap();
    let failure = refused(&world);
    assert_eq!(failure.reason, Reason::ReleaseStale);
    assert!(failure.chain().contains("there is no /etc/anymetal/pins, and this node has run serial 7"));

    put(&world, 6);
    world.allow_rollback = true;
    assert!(matches!(work(&world, &Heard::default()).unwrap(), Answer::Done(_)));
    // from then on that is the highest
    world.allow_rollback = false;
    assert!(matches!(work(&world, &Heard::default()).unwrap(), Answer::Done(_)));
    put(&world, 5);
    assert!(refused(&world).chain().ends_with("its serial is 5, and this node has run serial 6"));
}

#[test]
fn the_same_serial_with_another_release_is_taken_and_said_and_another_site_is_not() {
    let (plan, (_folder, world)) = (plan_of("demo"), node(&[(place::TRUST, &trust(7, &[]))]));
    pin(&world, &release_of("demo", 7, &plan));
    std::fs::write(world.at(place::PLAN), &plan).unwrap();
    let heard = Heard::default();
    assert!(matches!(work(&world, &heard).unwrap(), Answer::Done(_)));
    assert_eq!(heard.times("has serial 7, as 222222222222 had; raise `serial`"), 1, "{:?}", heard.said());

    let plan = plan_of("other");
    pin(&world, &release_of("other", 8, &plan));
    std::fs::write(world.at(place::PLAN), &plan).unwrap();
    let failure = refused(&world);
    assert_eq!(failure.reason, Reason::ReleaseStale);
    assert!(failure.chain().ends_with("it is of the site other, and this node is one of demo"), "{}", failure.chain());
}

#[test]
fn release_pins_and_plan_that_do_not_fit_each_other_are_refused() {
    let (plan, (_folder, mut world)) = (plan_of("demo"), node(&[]));
    pin(&world, &release_of("other", 1, &plan));
    std::fs::write(world.at(place::PLAN), &plan).unwrap();
    let failure = refused(&world);
    assert_eq!(failure.chain(), "the release is of the site other, and its plan of demo");
    assert!(!world.at(place::TRUST).exists(), "it was remembered");

    pin(&world, &release_of("demo", 1, &plan));
    let pins = std::fs::read_to_string(world.at(place::PINS)).unwrap();
    std::fs::write(world.at(place::PINS), format!("{pins}init x86_64 {}\n", "3".repeat(64))).unwrap();
    assert_eq!(refused(&world).chain(), "the release pins another anymetal-init than /etc/anymetal/pins");
    std::fs::write(world.at(place::PINS), "nonsense\n").unwrap();
    assert!(refused(&world).chain().starts_with("reading /etc/anymetal/pins: its first line is not"));

    pin(&world, &release_of("demo", 1, &plan));
    world.plan_file = world.at("/other.json");
    std::fs::write(&world.plan_file, plan_of("demo ")).unwrap();
    let failure = refused(&world);
    assert_eq!(failure.reason, Reason::ReleaseUnreadable);
    assert!(failure.chain().contains("/other.json is another plan, sha256 "), "{}", failure.chain());
}

#[test]
fn a_plan_without_a_release_is_for_nodes_that_know_of_no_signer() {
    let (plan, (_folder, world)) = (plan_of("demo"), node(&[]));
    std::fs::remove_file(world.at(place::PINS)).unwrap();
    std::fs::write(world.at(place::PLAN), &plan).unwrap();
    let Answer::Done(said) = work(&world, &Heard::default()).unwrap() else { panic!("it waits") };
    assert!(!said.contains("release"), "{said}");
    std::fs::write(world.at(place::SIGNERS), KEY).unwrap();
    let failure = refused(&world);
    assert_eq!(failure.reason, Reason::ReleaseUnsigned);
    assert_eq!(failure.chain(), "there is no /etc/anymetal/pins, and /etc/anymetal/signers names who has to sign");
}
