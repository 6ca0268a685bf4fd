//! Metadata documents through every stage: document → facts → files, compared with what lies in `tests/metadata/goldens`.
//! `UPDATE_GOLDENS=1 cargo test -p anymetal-init goldens` rewrites them; read the difference before committing it.
#![expect(clippy::disallowed_methods, reason = "goldens are files, and BIRD and Consul are programs")]

mod accepted;
mod cases;
mod parts;
mod strangers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anymetal_contract::place;
use anymetal_contract::plan::{Anycast, Arch, Firewall, Hippo};

use crate::facts;
use crate::guard::{self, Document};
use crate::metadata;
use crate::prove::FIREWALL;
use crate::render::render;
use cases::{CASES, Case};
use parts::{clusters, job, particular};
pub(crate) use parts::{documents, plan, secrets, template};

/// The templates whose text depends on a document.
pub(crate) const TEMPLATES: [&str; 4] =
    ["nftables/anymetal.nft", "consul/consul.json", "nomad/nomad.json", "bird/bird.conf"];

/// The other files of a node, which a few cases render for all.
const ONCE: [&str; 8] = [
    "bird/anymetal-guard.service",
    "nftables/anymetal-firewall.service",
    "nftables/sysctl.conf",
    "consul/consul.service",
    "nomad/nomad.service",
    "traefik/tls.yaml",
    "traefik/routers.yaml",
    "bindle/htpasswd",
];

/// The case whose site has canaries, and a quorum.
const LAST: &str = "whole-acme";

/// The jobs of a node, which the same cases render.
const JOBS: [&str; 3] = ["traefik", "bindle", "hippo"];

#[test]
fn every_document_becomes_its_golden_files() {
    let mut faults = Vec::new();
    for case in CASES {
        let folder = documents().join("goldens").join(case.name);
        let made = outcome(case);
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            let _was_not_there = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (name, text) in &made {
                std::fs::write(folder.join(name), text).unwrap();
            }
        }
        let there: BTreeSet<String> = std::fs::read_dir(&folder)
            .map(|files| files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        if there != made.keys().cloned().collect() {
            faults.push(format!("{}: {there:?} are there, {:?} were made", case.name, made.keys()));
        }
        for (name, text) in &made {
            let golden = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
            if golden != *text {
                faults.push(format!("{}/{name} is now:\n{text}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}\nhint: UPDATE_GOLDENS=1 rewrites the goldens", faults.join("\n"));
}

#[test]
fn every_document_of_the_folder_is_a_case() {
    let files = std::fs::read_dir(documents()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let documents: BTreeSet<String> = files.filter_map(|name| Some(name.strip_suffix(".json")?.to_owned())).collect();
    let cases: BTreeSet<String> = CASES.iter().map(|case| case.document.to_owned()).collect();
    assert_eq!(documents, cases);
}

#[test]
fn the_real_bird_accepts_every_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = 0;
    for case in CASES {
        let Some(text) = outcome(case).remove("bird.conf") else { continue };
        let conf = folder.path().join(format!("{}.conf", case.name));
        std::fs::write(&conf, text).unwrap();
        let mut bird = Command::new("bird");
        bird.env("PATH", path());
        let output = bird.args(["-p", "-c"]).arg(&conf).output().unwrap_or_else(|error| {
            panic!("running bird: {error}\nhint: `apt-get install bird2`, or `make test`, which does it")
        });
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "bird refuses the configuration of {}: {said}", case.name);
        accepted += 1;
    }
    assert!(accepted >= 10, "only {accepted} cases have a bird.conf");
}

/// BIRD accepts a session without a channel, and one that waits for a link that is not there.
#[test]
fn every_session_of_every_configuration_has_a_channel_and_says_how_far_it_goes() {
    let mut seen = 0;
    for case in CASES {
        let Some(text) = outcome(case).remove("bird.conf") else { continue };
        for session in text.split("\nprotocol bgp ").skip(1) {
            let count = |words: &[&str]| words.iter().map(|words| session.matches(words).count()).sum::<usize>();
            let counts = [
                count(&["  ipv4 {", "  ipv6 {"]),
                count(&["    import none;"]),
                count(&["    export filter announce"]),
                count(&["  multihop ", "  direct;"]),
                count(&["  local "]),
            ];
            assert_eq!(counts, [1; 5], "{}: {session}", case.name);
            seen += 1;
        }
    }
    assert!(seen >= 20, "only {seen} sessions were looked at");
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every unit there is, by its name: those of the plan, and the two that are not part of one.
fn units() -> BTreeMap<String, String> {
    let whole = CASES.iter().find(|case| case.name == "whole").expect("there is a case of everything");
    let mut units = outcome(whole);
    units.retain(|name, _| name.ends_with(".service"));
    let host = top().join("templates/host");
    let share = std::fs::read_to_string(host.join("anymetal-share.service")).unwrap();
    units.insert("anymetal-share.service".into(), share);
    let boot = std::fs::read_to_string(host.join("anymetal.service")).unwrap();
    let (_, boot) = boot.split_once("\n---\n").unwrap();
    let boot = boot.replace("/etc/anymetal/fetch-init", "/bin/true").replace(place::INIT, "/bin/true");
    units.insert("anymetal.service".into(), boot);
    units
}

/// What `systemd-analyze security` says of a unit.
fn exposure(folder: &Path, name: &str, text: &str) -> f64 {
    std::fs::write(folder.join(name), text).unwrap();
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]).arg(folder.join(name));
    let output = analyze.output().unwrap_or_else(|error| panic!("running systemd-analyze: {error}"));
    let said = String::from_utf8_lossy(&output.stdout);
    let number =
        said.lines().find_map(|line| line.split_once(&format!("for {name}: "))?.1.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{name}: {said}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn no_unit_is_more_exposed_than_recorded() {
    let recorded = std::fs::read_to_string(top().join("docs/units.md")).unwrap();
    let recorded: BTreeMap<&str, f64> = recorded
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            Some((cells.next()?, cells.next()?.parse().ok()?))
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (name, text) in units() {
        let is = exposure(folder.path(), &name, &text);
        match recorded.get(name.as_str()) {
            Some(was) if is <= *was => {}
            Some(was) => faults.push(format!("{name} is {is} and was {was}")),
            None => faults.push(format!("{name} is {is} and stands nowhere")),
        }
    }
    assert!(faults.is_empty(), "{}\nhint: docs/units.md has what was recorded", faults.join("\n"));
    assert!(recorded.len() >= 6, "only {} units are recorded", recorded.len());
    // The test can fail: without its walls a unit is worse.
    let bare = exposure(folder.path(), "bare.service", "[Service]\nExecStart=/bin/true\n");
    assert!(bare > 9.0, "a unit without walls is {bare}");
}

/// A shell that runs these lines on a machine that has what a node has by then: a network of its own, which nft asks even for a check, the users
/// of what Nomad runs, and a cgroup of that name. The folder is the test's own.
fn node(folder: &Path, lines: &str) -> Command {
    const NODE: &str =
        "mount --bind \"$0\" /etc/passwd; mount -t tmpfs tmpfs /sys/fs/cgroup; mkdir /sys/fs/cgroup/nomad.slice";
    let passwd = folder.join("passwd");
    let users = ["root:0", "traefik:990", "bindle:991", "hippo:992", "nobody:65534"];
    std::fs::write(&passwd, users.map(|user| user.replacen(':', ":x:", 1) + ":0::/:/bin/false\n").concat()).unwrap();
    let mut shell = Command::new("unshare");
    shell.args(["--map-root-user", "--net", "--mount", "sh", "-euc", &format!("{NODE}\n{lines}")]).arg(&passwd);
    shell.env("PATH", path());
    shell
}

/// Debian keeps BIRD and nft in /usr/sbin, which is not on everybody's PATH.
fn path() -> String {
    format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default())
}

/// What nft says of the file.
fn nft(folder: &Path, name: &str) -> std::process::Output {
    let mut shell = node(folder, "exec nft --check --file \"$1\"");
    shell.arg(folder.join(name)).output().unwrap_or_else(|error| panic!("running unshare: {error}"))
}

#[test]
fn the_real_nft_accepts_every_firewall() {
    let folder = tempfile::tempdir().unwrap();
    let mut accepted = 0;
    for case in CASES {
        let Some(text) = outcome(case).remove("anymetal.nft") else { continue };
        let name = format!("{}.nft", case.name);
        std::fs::write(folder.path().join(&name), text).unwrap();
        let output = nft(folder.path(), &name);
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = "hint: `apt-get install nftables`, or `make test`, which does it";
        assert!(output.status.success(), "nft refuses the firewall of {}: {said}\n{hint}", case.name);
        accepted += 1;
    }
    assert!(accepted >= 10, "only {accepted} cases have a firewall");
}

#[test]
fn a_template_needs_exactly_what_it_uses() {
    for name in TEMPLATES.iter().chain(&ONCE) {
        let file = template(name);
        let mut tera = tera::Tera::new();
        tera.register_filter("json_encode", |_: &tera::Value, _: tera::Kwargs, _: &tera::State| String::new());
        tera.add_raw_template(name, &file.body).unwrap();
        let used: BTreeSet<&str> = tera.get_template_variables(name).unwrap().into_iter().collect();
        let secrets = file.secrets.iter().map(|_| "secrets");
        assert_eq!(used, file.needs.iter().map(String::as_str).chain(secrets).collect(), "{name}");
        for secret in &file.secrets {
            assert!(file.body.contains(&format!("secrets.{secret} ")), "{name} does not use {secret}");
        }
    }
}

/// The files a case makes, by name.
fn outcome(case: &Case) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(documents().join(format!("{}.json", case.document))).unwrap();
    let once: &[&str] = if case.whole.is_some() { &ONCE } else { &[] };
    let mut plan = plan(TEMPLATES.iter().chain(once).map(|name| template(name)).collect());
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    plan.platform = case.platform.into();
    plan.anycast = Anycast { v4: owned(case.v4), v6: owned(case.v6) };
    plan.bgp = (case.bgp)();
    if let Some(tls) = case.whole {
        plan.settings.tls = tls();
        plan.jobs = JOBS.map(job).into();
        plan.services = clusters();
        if case.name == LAST {
            plan.settings.guard = particular();
        }
    }
    plan.settings.hippo = Hippo { registration: "AdministratorOnly".into(), administrator: "admin".into() };
    plan.settings.firewall =
        Firewall { ssh4: vec!["198.51.100.0/24".into()], ssh6: vec![], tcp: vec![8443], udp: vec![] };
    let facts = metadata::read(&plan.platform, &text)
        .map(|machine| metadata::Machine { resolvers: ["127.0.0.53".parse().unwrap()].into(), ..machine })
        .and_then(|machine| facts::make(&plan, &machine, &secrets(), Arch::X86_64));
    let facts = match facts {
        Ok(facts) => facts,
        Err(failure) => {
            return BTreeMap::from([("failure.txt".into(), format!("{}: {}\n", failure.reason, failure.chain()))]);
        }
    };
    let mut made = BTreeMap::from([("facts.json".into(), serde_json::to_string_pretty(&facts).unwrap() + "\n")]);
    for file in &plan.files {
        let name = file.name.rsplit('/').next().unwrap();
        let text = render(file, &facts, &secrets()).unwrap_or_else(|failure| panic!("{}", failure.chain()));
        made.insert(name.to_owned(), text);
    }
    for job in &plan.jobs {
        let text = render(job, &facts, &secrets()).unwrap_or_else(|failure| panic!("{}", failure.chain()));
        serde_json::from_str::<serde_json::Value>(&text)
            .unwrap_or_else(|error| panic!("{}: {error}\n{text}", job.name));
        made.insert(format!("{}.job.json", job.name), text);
    }
    if case.whole.is_some() {
        let places = ("/run/bird/bird.ctl".into(), place::CA.into());
        let guard = Document::make(places, &plan, &facts, &secrets(), Vec::new()).unwrap();
        let file = plan.files.iter().find(|file| file.name == FIREWALL).expect("every site has a firewall");
        let firewall = guard::Firewall::of(file.path.as_ref(), &made["anymetal.nft"]).unwrap();
        let guard = guard.with_firewall(Some(firewall));
        made.insert("guard.json".into(), serde_json::to_string_pretty(&guard).unwrap() + "\n");
    }
    made
}
