//! The platform on nodes without a machine, and what goes wrong with it: each bad thing ends at its deadline, names the component, quotes its
//! last lines and says what to do. Consul, Traefik, Bindle, bird and nft are real; Nomad, Hippo and Spin are doubles unless `COMPONENTS` names a
//! folder of real ones.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anymetal::boot::lan;
use anymetal_contract::{Outcome, Phase, place};

use crate::server::{Power, Server, possible};
use crate::site::Site;

/// Deadlines short enough for a suite: what fails here fails at once, and says so until then.
const SHORT: &str = "deadlines: {services: 40, jobs: 30}";

/// The whole chain of proofs.
const PROVEN: &str = "10 proofs hold: firewall, addresses, neighbour, consul, nomad, traefik, bindle, hippo, anycast 198.51.100.7, anycast 2001:db8:198::7";

/// A node that could not come up: what it said, the failed phase and its reason.
fn fails(server: &Server) -> (String, Phase, String) {
    let power = server.power_on();
    let (code, said) = power.ended();
    assert!(said.contains("hint: "), "{said}");
    not_announced(server, &power, said.contains("bird.service done: ready"));
    let log = server.platform.log();
    let failed = log.events.iter().find(|event| event.outcome == Outcome::Failed && event.ends_phase());
    let failed = failed.unwrap_or_else(|| panic!("nothing failed: {said}"));
    let reason = failed.reason.clone().expect("a failure has a reason");
    let is_final = anymetal_contract::Reason::coded(&reason).expect("a reason has a code").is_final();
    assert_eq!(code, if is_final { 2 } else { 3 }, "{said}");
    (said, failed.phase().unwrap(), reason)
}

/// The neighbour has nothing of it; the anycast routes are disabled as written, and where bird runs, it says itself that they are down and that
/// it has none of them.
fn not_announced(server: &Server, power: &Power, bird_runs: bool) {
    assert_eq!(server.neighbour.known().listed(), "");
    let Ok(bird) = fs::read_to_string(server.node.disk("/etc/bird/bird.conf")) else { return };
    let anycast = bird.split("protocol static anycast4 {").nth(1).expect("there is an anycast protocol");
    assert!(anycast.trim_start().starts_with("disabled;"), "{bird}");
    if bird_runs {
        let said = birdc(power, "show protocols anycast4");
        let row = said.lines().find(|line| line.starts_with("anycast4")).unwrap_or_else(|| panic!("{said}"));
        assert!(row.split_whitespace().any(|word| word == "down"), "{row}");
        let routes = birdc(power, "show route");
        assert!(!routes.contains("198.51.100.7"), "{routes}");
    }
}

/// What the node's own bird answers on its control socket.
fn birdc(power: &Power, question: &str) -> String {
    let socket = format!("/proc/{}/root/run/bird/bird.ctl", power.inner());
    let asked = Command::new("/usr/sbin/birdc").args(["-s", &socket]).args(question.split(' ')).output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

#[test]
fn the_platform_comes_up_on_a_node_keeps_its_secrets_and_is_the_same_after_a_reboot() {
    if !possible() {
        return;
    }
    let site = Site::platform("");
    let server = Server::new(&site, &[]);
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 0, "{said}\n{}", site.which());
    for words in
        ["nomad access done: put right: bootstrapped", "jobs      hippo done: healthy", "3 jobs healthy", PROVEN]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    assert_eq!(server.neighbour.known().listed(), "198.51.100.7/32");
    let events = fs::read_to_string(server.node.disk(place::EVENTS)).unwrap();
    let plan = fs::read_to_string(server.node.disk(place::PLAN)).unwrap();
    for (name, secret) in site.secrets() {
        for (place, text) in
            [("output", &said), ("console", &server.node.console()), ("events", &events), ("plan", &plan)]
        {
            assert!(!text.contains(&secret), "{name} is in the {place}");
        }
    }
    let mode = fs::metadata(server.node.disk("/etc/anymetal/nomad/nomad.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let before = server.state();
    power.cut();
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("nomad access same: as the plan declares it"), "{said}");
    let after = server.state();
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    assert!(after == before, "a reboot changed the content of a file");
}

#[test]
fn port_80_in_use_is_named_with_traefiks_own_words() {
    if !possible() {
        return;
    }
    // Named, because its folders go with it.
    let site = Site::platform(SHORT);
    let server = Server::new(&site, &[]);
    let _somebody_elses = server.node.inside(|| TcpListener::bind((lan::PUBLIC, 80))).unwrap();
    let (said, phase, reason) = fails(&server);
    assert_eq!((phase, reason.as_str()), (Phase::Jobs, "job-not-ready"), "{said}");
    assert!(said.contains("traefik: its task has ended") && said.contains("address already in use"), "{said}");
    assert!(said.contains(", gave up after 30 s"), "{said}");
    assert!(said.contains("bird.service done: ready"), "nobody could ask bird: {said}");
}

#[test]
fn a_hippo_that_crashes_at_its_start_is_named_with_its_last_words() {
    if !possible() {
        return;
    }
    // Named, because its folders go with it.
    let site = Site::platform(SHORT);
    let server = Server::new(&site, &[]);
    // Where its database belongs there is a folder.
    fs::create_dir_all(server.node.disk("/var/lib/hippo/hippo.db")).unwrap();
    let (said, phase, reason) = fails(&server);
    assert_eq!((phase, reason.as_str()), (Phase::Jobs, "job-not-ready"), "{said}");
    assert!(said.contains("hippo: its task has ended") && said.contains("unable to open database file"), "{said}");
}

#[test]
fn an_archive_of_another_layout_is_refused_with_the_component_and_what_is_in_it() {
    if !possible() {
        return;
    }
    // Bindle's digest in Traefik's place: the bytes are the right ones, and no Traefik is in them.
    let site = Site::platform_with(SHORT, |components| {
        let value: serde_yaml::Value = serde_yaml::from_str(&components).unwrap();
        let pin = |name: &str| value["components"][name]["artefacts"]["x86_64"]["sha256"].as_str().unwrap().to_owned();
        let size = |name: &str| value["components"][name]["artefacts"]["x86_64"]["size"].as_u64().unwrap().to_string();
        components.replace(&pin("traefik"), &pin("bindle")).replace(&size("traefik"), &size("bindle"))
    });
    let (said, phase, reason) = fails(&Server::new(&site, &[]));
    assert_eq!((phase, reason.as_str()), (Phase::Install, "archive-broken"), "{said}");
    assert!(
        said.contains("installing traefik ") && said.contains("\"traefik\" is not in the archive, which has"),
        "{said}"
    );
}

#[test]
fn a_nomad_that_never_gets_a_leader_ends_at_the_deadline_with_its_last_lines() {
    if !possible() {
        return;
    }
    // Named, because its folders go with it.
    let site = Site::platform(SHORT);
    let server = Server::new(&site, &[]);
    let power = server.power_on();
    assert_eq!(power.ended().0, 0);
    power.cut();
    // An operator's recovery file, with others in it: this server waits for a majority that never comes. Nomad heeds it once it has data.
    server.node.write("/var/lib/nomad/server/raft/peers.json", FOREIGN_PEERS).unwrap();
    let (said, phase, reason) = fails(&server);
    assert_eq!((phase, reason.as_str()), (Phase::Services, "service-not-ready"), "{said}");
    assert!(said.contains("nomad: waiting for a leader") && said.contains(", gave up after 40 s"), "{said}");
}

const FOREIGN_PEERS: &str = r#"[
  {"id": "11111111-1111-4111-8111-111111111111", "address": "10.70.17.13:4647", "non_voter": false},
  {"id": "22222222-2222-4222-8222-222222222222", "address": "10.70.17.14:4647", "non_voter": false}
]"#;

#[test]
fn secrets_of_another_site_are_refused_before_anything_is_touched() {
    if !possible() {
        return;
    }
    // Named, because its folders go with it.
    let site = Site::platform(SHORT);
    let server = Server::new(&site, &[]);
    let path = server.node.disk(place::SECRETS);
    let text = fs::read_to_string(&path).unwrap().replace("\"site\":\"platform\"", "\"site\":\"another\"");
    fs::write(&path, text).unwrap();
    let (said, phase, reason) = fails(&server);
    assert_eq!((phase, reason.as_str()), (Phase::Plan, "secrets-invalid"), "{said}");
    assert!(!server.node.disk(place::OPT).join("nomad").exists(), "something was installed");
}

#[test]
fn secrets_in_the_platforms_custom_data_are_waited_for_and_used() {
    if !possible() {
        return;
    }
    let site = Site::with("secrets: {deliver: customdata}\ndeadlines: {metadata: 5}");
    assert!(!site.user_data.contains(place::SECRETS), "the user-data has secrets");
    let (said, phase, reason) = fails(&Server::with_customdata(&site, serde_json::json!({}), &[]));
    assert_eq!((phase, reason.as_str()), (Phase::Metadata, "secrets-missing"), "{said}");
    assert!(said.contains("has no secrets in its custom data yet"), "{said}");

    let server = Server::new(&site, &[]);
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("consul access done: put right"), "{said}");
}

#[test]
fn a_package_that_the_system_cannot_have_is_named_before_anything_is_unpacked() {
    if !possible() {
        return;
    }
    let site = Site::platform_with("deadlines: {install: 20}", |components| {
        let mut value: serde_yaml::Value = serde_yaml::from_str(&components).unwrap();
        value["components"]["hippo"]["packages"] = vec!["anymetal-no-such-package"].into();
        serde_yaml::to_string(&value).unwrap()
    });
    let server = Server::new(&site, &[]);
    let (said, phase, reason) = fails(&server);
    assert_eq!((phase, reason.as_str()), (Phase::Install, "host-package-missing"), "{said}");
    assert!(said.contains("the system lacks anymetal-no-such-package"), "{said}");
    assert!(!server.node.disk(place::OPT).join("nomad").exists(), "something was unpacked");
}
