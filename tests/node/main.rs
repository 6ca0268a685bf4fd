//! The whole first boot on nodes without a machine: user-data as `anymetal build` wrote it, the shipped init, production paths, a real Consul,
//! a real bird, the simulated platform; systemd and cloud-init are doubles here, and real in `boot.rs`. Needs root for its namespaces.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite plays the world around the program")]

mod boundary;
mod platform;
mod server;
mod site;
mod upstream;

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use anymetal::boot::lan;
use anymetal::boot::platform::Fault;
use anymetal_contract::{Outcome, Phase, place};

use server::{Server, ask, possible};
use site::Site;

/// How the digest of the demo's Consul begins.
const CONSUL: &str = "0f006ea94f06";

#[test]
fn a_node_comes_up_reports_every_phase_and_comes_up_again() {
    if !possible() {
        return;
    }
    let server = Server::new(Site::demo(), &[]);
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 0, "{said}");

    // The platform has heard every phase begin and end, with the plan's digest, and broke no rule of its own.
    let log = server.platform.log();
    assert_eq!(log.violations, Vec::<String>::new());
    let events: Vec<_> = log.events.iter().filter(|e| e.by.is_none()).collect();
    let ends: Vec<_> = events.iter().filter(|e| e.ends_phase()).map(|e| (e.phase().unwrap(), e.outcome)).collect();
    for phase in Phase::ALL {
        let expected = if phase == Phase::Jobs { Outcome::Absent } else { Outcome::Done };
        assert!(ends.contains(&(phase, expected)), "{phase}: {ends:?}");
    }
    let last = events.last().unwrap();
    assert_eq!(
        (last.phase(), last.plan.as_str(), last.node.as_str()),
        (Some(Phase::Settle), Site::demo().plan.as_str(), lan::HOSTNAME)
    );
    assert!(events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "events came out of order");
    let guards: Vec<_> = log.events.iter().filter(|e| e.by.as_deref() == Some("guard")).collect();
    let told: Vec<_> = guards.iter().map(|e| (e.seq, e.phase(), e.outcome)).collect();
    assert_eq!(told, [(1, Some(Phase::Announce), Outcome::Started), (2, Some(Phase::Announce), Outcome::Done)]);

    // The neighbour has what the site announces, and was never told anything else.
    assert_eq!(
        (server.neighbour.known().listed(), server.announced()),
        ("198.51.100.7/32".into(), vec!["198.51.100.7/32".into()])
    );
    assert!(log.user_states.iter().any(|state| state.state == "succeeded"), "{:?}", log.user_states);
    let waited = log.events.iter().any(|e| e.phase() == Some(Phase::Metadata) && e.outcome == Outcome::Waiting);
    assert!(waited, "nobody was told that bgp_neighbors took a while");

    // What it says is so: a leader, in Consul's own words; the password of the sessions in bird's file and nowhere else.
    assert_eq!(ask(&server.node, 8501, "/v1/status/leader"), "\"127.0.0.1:8300\"");
    let bird = fs::read_to_string(server.node.disk("/etc/bird/bird.conf")).unwrap();
    let secret = anymetal::boot::platform::device::MD5_PASSWORD;
    assert!(bird.contains(secret) && bird.contains("disabled;"), "{bird}");
    let events = fs::read_to_string(server.node.disk(place::EVENTS)).unwrap();
    let status = power.status().to_string();
    for (name, text) in
        [("output", &said), ("console", &server.node.console()), ("events", &events), ("status", &status)]
    {
        assert!(!text.contains(secret), "the password of the BGP sessions is in the {name}");
    }
    assert_eq!(power.status()["state"], "up");

    // A reboot changes nothing but starts what must run.
    let before = server.state();
    power.cut();
    let again = server.power_on();
    let (code, said) = again.ended();
    assert_eq!(code, 0, "{said}");
    assert_eq!(server.state().keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(server.state() == before, "a reboot changed the content of a file");
    let log = server.platform.log();
    for phase in [Phase::Acquire, Phase::Install, Phase::Files] {
        let last = log.events.iter().rfind(|e| e.ends_phase() && e.phase() == Some(phase)).unwrap();
        assert_eq!(last.outcome, Outcome::Same, "{phase}: {}", last.message);
    }
}

#[test]
fn power_cuts_in_acquire_and_in_services_end_in_the_same_state() {
    if !possible() {
        return;
    }
    let smooth = Server::new(Site::demo(), &[]);
    let power = smooth.power_on();
    assert_eq!(power.ended().0, 0);
    power.cut();

    // Slow enough that the cut comes in the middle of a transfer.
    let cut = Server::new(Site::demo(), &[Fault::Slow(8 << 20)]);
    for phase in [Phase::Acquire, Phase::Services] {
        let power = cut.power_on();
        let wanted = if phase == Phase::Acquire { Outcome::Progress } else { Outcome::Started };
        cut.event(&format!("of {phase}"), |event| event.phase() == Some(phase) && event.outcome == wanted);
        power.cut();
    }
    let power = cut.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("cut off in services"), "it does not know where it left off:\n{said}");
    let (one, other) = (smooth.state(), cut.state());
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    // Keys of one's own are another node's business.
    for (name, content) in one.iter().filter(|(name, _)| !name.starts_with("etc/anymetal/tls/")) {
        assert!(other[name] == *content, "{name} is another after power cuts");
    }
}

#[test]
fn metadata_that_answers_500_for_a_while_delays_the_boot_and_says_so() {
    if !possible() {
        return;
    }
    let server = Server::new(Site::demo(), &[Fault::Metadata500(Duration::from_secs(5))]);
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 0, "{said}");
    assert!(
        said.lines().any(|line| line.contains("metadata") && line.contains("waiting") && line.contains("500")),
        "{said}"
    );
}

#[test]
fn a_node_whose_platform_is_gone_comes_up_again_and_is_announced() {
    if !possible() {
        return;
    }
    // What was kept is used after a quarter of the deadline.
    let site = Site::with("deadlines: {metadata: 20}");
    let server = Server::new(&site, &[]);
    let power = server.power_on();
    assert_eq!(power.ended().0, 0);
    // Where the platform is asked stands in these two, and the kernel's command line says another place below.
    let state = || {
        let mut state = server.state();
        state.retain(|path, _| {
            !["etc/anymetal/firewall/anymetal.nft", "etc/anymetal/guard.json"].contains(&path.as_str())
        });
        state
    };
    let before = state();
    power.cut();
    // Nobody answers there any more: no metadata, no origin, no report.
    let nobody = "http://127.0.0.1:1";
    let gone = [place::ARG_METADATA, place::ARG_ORIGIN].map(|argument| format!("{argument}={nobody}"));
    server.node.cmdline(&gone.join(" ")).unwrap();
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 0, "{said}");
    let status = power.status();
    assert_eq!(status["state"], "up");
    let warning = status["warnings"][0].as_str().unwrap_or_default();
    assert!(warning.starts_with("metadata is stale since 20") && warning.contains("refused"), "{status}");
    assert!(
        said.lines().any(|line| line.contains("settle") && line.contains("; metadata is stale since 20")),
        "{said}"
    );
    assert_eq!(server.neighbour.known().listed(), "198.51.100.7/32");
    let now = state();
    let others: Vec<_> =
        before.iter().filter(|(path, was)| now.get(*path) != Some(*was)).map(|(path, _)| path).collect();
    assert_eq!((others, now.len()), (vec![], before.len()), "files are others without the platform");
}

/// Boots a site that cannot come up; gives what was said, and the failed event's reason.
fn fails(site: &Site, faults: &[Fault]) -> (String, String) {
    let server = Server::new(site, faults);
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("hint: "), "{said}");
    assert_eq!(power.status()["state"], "failed");
    let failed = server
        .platform
        .log()
        .events
        .into_iter()
        .find(|event| event.outcome == Outcome::Failed)
        .expect("a failed event");
    (said, failed.reason.expect("a failure has a reason"))
}

#[test]
fn metadata_that_never_gets_bgp_neighbours_fails_at_the_deadline_and_says_what_to_do() {
    if !possible() {
        return;
    }
    let (said, reason) = fails(&Site::with("deadlines: {metadata: 4}"), &[Fault::NoBgp]);
    assert_eq!(reason, "metadata-no-bgp");
    assert!(said.contains("enable BGP on the project and create the session"), "{said}");
    assert!(said.contains("4 s"), "the deadline is not named: {said}");
}

#[test]
fn a_neighbour_that_never_answers_ends_the_boot_at_the_deadline_unannounced() {
    if !possible() {
        return;
    }
    // Named, because its folders go with it.
    let site = Site::with("deadlines: {prove: 6}");
    let server = Server::new(&site, &[]);
    server.node.beside().ip(&["link", "set", "port0", "down"]).unwrap();
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 3, "{said}");
    for words in ["neighbour: no session is established: ", "gave up after 6 s (proof-failed)"] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert_eq!(server.announced(), [""; 0]);
}

#[test]
fn metadata_that_is_cut_off_fails_at_the_deadline_as_invalid() {
    if !possible() {
        return;
    }
    let (_, reason) = fails(&Site::with("deadlines: {metadata: 4}"), &[Fault::MetadataTruncated]);
    assert_eq!(reason, "metadata-invalid");
}

#[test]
fn an_artefact_with_a_wrong_byte_is_refused_and_every_origin_named() {
    if !possible() {
        return;
    }
    let site = Site::with("deadlines: {acquire: 6}");
    let server = Server::new(&site, &[Fault::Corrupt(CONSUL.into())]);
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 3, "{said}");
    let failed = server
        .platform
        .log()
        .events
        .into_iter()
        .find(|event| event.outcome == Outcome::Failed)
        .expect("a failed event");
    assert!(
        failed.message.contains(&server.platform.url()) && failed.message.contains("origin.example"),
        "{}",
        failed.message
    );
    assert!(!server.node.disk(place::OPT).join("consul").exists(), "something was installed from wrong bytes");
    let stored = fs::read_dir(server.node.disk(place::STORE)).into_iter().flatten().flatten();
    let whole: Vec<_> = stored.map(|e| e.file_name().into_string().unwrap()).filter(|name| name.len() == 64).collect();
    // release and plan, and nothing else
    assert_eq!(whole.len(), 2, "wrong bytes are in the store: {whole:?}");
    assert!(whole.iter().all(|name| !name.starts_with(CONSUL)), "wrong bytes are in the store: {whole:?}");
}

#[test]
fn a_release_a_plan_and_a_bundle_that_were_tampered_with_are_refused() {
    if !possible() {
        return;
    }
    let server = Server::new(Site::demo(), &[]);
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains(", signed by the key "), "{said}");
    let mut child = server.node.start(&["sh", "-c", site::TAMPERED]).unwrap();
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said.lines().collect::<Vec<_>>(), site::TAMPERED_TOLD, "{said}");
}

#[test]
fn a_wrong_init_never_becomes_executable() {
    if !possible() {
        return;
    }
    let site = Site::demo();
    let pin = site.pin();
    let server = Server::new(site, &[Fault::Corrupt(pin)]);
    let power = server.power_on();
    // The stub says each thing twice: to its output, then to the console. It has said all of a round when it says that it goes on.
    let refused = power.line("wrong bytes");
    assert!(refused.contains(&server.platform.url()), "{refused}");
    power.line("no origin gave anymetal-init; again in 2 s");
    assert!(!server.node.disk(place::INIT).exists());
    assert!(server.node.console().contains("wrong bytes"), "the console was not told: {}", server.node.console());
}

#[test]
fn a_full_disk_is_named_leaves_nothing_half_done_and_is_no_end() {
    if !possible() {
        return;
    }
    let server = Server::new(Site::demo(), &[]);
    let filler = server.node.fill(24 << 20).unwrap();
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("disk-full") || said.contains("free space"), "{said}");
    assert!(!server.node.disk(place::OPT).join("consul/current").exists(), "something half-done is in place");
    power.cut();
    fs::remove_file(filler).unwrap();
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 0, "{said}");
}
