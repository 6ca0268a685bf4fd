//! The shipped `anymetal-init` from outside: a temporary root, lab servers, and doubles of systemd's programs on PATH.
//! May not look into the program: what it writes, prints, posts and exits with is all there is.
#![expect(clippy::disallowed_methods, reason = "a suite prepares and reads files and runs the program under test")]
#![expect(clippy::unwrap_used, reason = "a suite stops where something is not as it should be")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anymetal_contract::{Abilities, Event, Outcome, abilities, place};
use anymetal_lab::archive;
use anymetal_lab::http::{Response, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

const MACHINE: &str = "0123456789abcdef0123456789abcdef";

/// A root with a machine id, doubles of systemd's programs and a console nobody reads.
struct Node {
    folder: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self { folder: tempfile::tempdir().unwrap() };
        node.write("/etc/machine-id", &format!("{MACHINE}\n"));
        node.write("/proc/sys/kernel/hostname", "n1\n");
        node.write("/proc/cmdline", "quiet\n");
        fs::create_dir(node.systemd()).unwrap();
        fs::create_dir(node.folder.path().join("bin")).unwrap();
        for program in ["systemctl", "journalctl"] {
            let double = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/doubles/{program}-double"));
            anymetal_lab::program::copy(double, node.folder.path().join("bin").join(program));
        }
        node
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn systemd(&self) -> PathBuf {
        self.folder.path().join("systemd")
    }

    /// Tells the double of systemd something about a unit.
    fn unit(&self, file: &str, text: &str) {
        fs::write(self.systemd().join(file), format!("{text}\n")).unwrap();
    }

    /// What the double of systemd has been asked to do since the last time.
    fn calls(&self) -> Vec<String> {
        let file = self.systemd().join("calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _none_yet = fs::remove_file(file);
        calls.lines().map(str::to_owned).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let path = format!("{}:{}", self.folder.path().join("bin").display(), std::env::var("PATH").unwrap());
        let mut command = init();
        for name in ["http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY", "no_proxy", "NO_PROXY"] {
            command.env_remove(name);
        }
        command.args(arguments).arg("--root").arg(self.at("/")).env("PATH", path).env("SYSTEMD_DOUBLE", self.systemd());
        command
    }

    fn run(&self) -> Ended {
        Ended::of(&self.command(&["run", "--backoff-cap-ms", "10"]).output().unwrap())
    }

    fn status(&self, arguments: &[&str]) -> Ended {
        Ended::of(&self.command(&[&["status"], arguments].concat()).output().unwrap())
    }

    fn events(&self) -> Vec<Event> {
        self.read(place::EVENTS).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The message with which a phase ended last.
    fn end(&self, phase: &str) -> (Outcome, Option<String>, String) {
        let event = self.events().into_iter().rfind(|event| event.phase == phase && event.ends_phase());
        let event = event.unwrap_or_else(|| panic!("{phase} has no end in\n{}", self.read(place::EVENTS)));
        (event.outcome, event.reason, event.message)
    }
}

fn sha256(bytes: &[u8]) -> String {
    archive::sha256(bytes).to_string()
}

fn init() -> Command {
    Command::new(std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into()))
}

#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn with(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }

    fn says(&self, words: &str) -> &Self {
        assert!(self.err.contains(words), "no {words:?} in\n{}", self.err);
        self
    }
}

/// A run in the background; killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// Waits until this is so, at most half a minute.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn plan() -> Value {
    json!({
        "kind": "anymetal.plan", "version": 1, "site": "demo", "platform": "equinix-metal", "os": "debian-12",
        "domain": "example.org", "anycast": {"v4": ["192.0.2.1/32"], "v6": []}, "bgp": {}, "phases": ["services"],
        "origins": [], "components": [], "files": [], "services": [], "jobs": [], "deadlines": {"settle": 2}, "reports": [],
        "settings": {"hippo": {"registration": "Closed", "administrator": "a"}, "tls": {"mode": "none"},
            "firewall": {"ssh4": [], "ssh6": [], "tcp": [], "udp": []}}
    })
}

/// A plan whose only work is two units: bird, ready when it is active, and consul, ready with a leader.
fn plan_of_services(consul: &str) -> Value {
    let mut plan = plan();
    let file = |name: &str, path: &str| json!({"name": name, "path": path, "mode": "0644", "owner": "root:root", "needs": [], "body": ""});
    let package = json!({"host-package": {"package": "p", "program": "p", "version_argument": "--version"}});
    plan["components"] = json!([
        {"name": "bird", "version": "2.0.12", "source": package}, {"name": "consul", "version": "1.8.7", "source": package}
    ]);
    plan["files"] = json!([
        file("bird/bird.conf", "/etc/bird/bird.conf"),
        file("consul/consul.service", "/etc/systemd/system/consul.service")
    ]);
    plan["services"] = json!([
        {"unit": "bird.service", "component": "bird", "files": ["bird/bird.conf"], "reload": true, "ready": "active"},
        {"unit": "consul.service", "component": "consul", "files": ["consul/consul.service"], "reload": false,
            "ready": {"consul-leader": consul}}
    ]);
    plan
}

/// A node with that plan, its two files in place and its two units known and stopped.
fn node_of_services(consul: &str) -> Node {
    let node = Node::new();
    node.write(place::PLAN, &plan_of_services(consul).to_string());
    node.write("/etc/bird/bird.conf", "log syslog all;\n");
    node.write("/etc/systemd/system/consul.service", "[Service]\n");
    node.unit("bird.service.active", "inactive");
    node.unit("consul.service.active", "inactive");
    node
}

fn leader() -> Server {
    Server::start(|_, _| Response::ok("\"10.0.0.1:8300\""))
}

#[test]
fn the_binary_carries_what_it_says_it_can_do() {
    let said = Ended::of(&init().args(["version", "--json"]).output().unwrap());
    let own: Abilities = serde_json::from_str(&said.with(0).out).unwrap();
    let binary = fs::read(init().get_program()).unwrap();
    assert_eq!(abilities::record(&binary), Some(said.out.trim_end()));
    let short = Ended::of(&init().arg("version").output().unwrap());
    assert_eq!(short.with(0).out, format!("anymetal-init {}\n", own.release));
}

#[test]
fn wrong_usage_is_1_and_help_is_0() {
    for (arguments, code) in [
        (&["--help"] as &[&str], 0),
        (&["run", "--help"], 0),
        (&[], 1),
        (&["fly"], 1),
        (&["run", "--rot", "/x"], 1),
        (&["render", "--plan", "/no/such", "--metadata", "/no/such", "--root", "/no/such"], 1),
    ] {
        Ended::of(&init().args(arguments).output().unwrap()).with(code);
    }
}

#[test]
fn a_node_comes_up_says_so_everywhere_and_a_second_run_changes_nothing() {
    let consul = leader();
    let node = node_of_services(&consul.url());
    let first = node.run();
    first.with(0).says("anymetal [08/12] services  done");
    assert!(first.out.is_empty(), "talk went to stdout: {}", first.out);
    assert!(first.err.lines().all(|line| line.starts_with("anymetal [")), "{}", first.err);
    assert_eq!(
        node.calls(),
        ["daemon-reload", "enable bird.service", "start bird.service", "enable consul.service", "start consul.service"]
    );
    assert_eq!(node.end("wake").2, format!("machine {MACHINE}, first run"));
    assert_eq!(node.end("metadata"), (Outcome::Absent, None, "not part of this plan".into()));
    let ready = "2 services ready: bird.service started, consul.service started";
    assert_eq!(node.end("services"), (Outcome::Done, None, ready.into()));
    assert!(node.end("settle").2.starts_with("node is up, plan "), "{:?}", node.end("settle"));

    node.run().with(0);
    assert_eq!(node.calls(), [] as [&str; 0]);
    assert_eq!(
        node.end("wake").2,
        format!("machine {MACHINE}, run 2 of this plan; the last one ended with the node up")
    );
    assert_eq!(node.end("services"), (Outcome::Same, None, "2 services ready".into()));
    let of_bird = node.events().into_iter().rfind(|event| event.step.as_deref() == Some("bird.service")).unwrap();
    assert_eq!((of_bird.outcome, of_bird.message.as_str()), (Outcome::Same, "ready, active"));
    let seqs: Vec<u64> = node.events().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "numbers do not go on over runs");

    let table = node.status(&[]);
    assert!(table.with(0).out.starts_with("n1 of site demo, plan ") && table.out.contains(": up\n"), "{}", table.out);
    let document: Value = serde_json::from_str(&node.status(&["--json", "--wait"]).with(0).out).unwrap();
    assert_eq!((&document["kind"], &document["state"]), (&json!("anymetal.status"), &json!("up")));
}

#[test]
fn what_a_unit_runs_with_decides_whether_it_is_reloaded_or_restarted() {
    let consul = leader();
    let node = node_of_services(&consul.url());
    node.run().with(0);
    node.calls();
    node.write("/etc/bird/bird.conf", "log stderr all;\n");
    node.run().with(0);
    assert_eq!(node.calls(), ["reload bird.service"]);
    node.write("/etc/systemd/system/consul.service", "[Service]\nRestart=always\n");
    node.run().with(0);
    assert_eq!(node.calls(), ["daemon-reload", "restart consul.service"]);
    let mut newer = plan_of_services(&consul.url());
    newer["components"][0]["version"] = json!("2.0.13");
    node.write(place::PLAN, &newer.to_string());
    node.run().with(0);
    assert_eq!(node.calls(), ["daemon-reload", "restart bird.service"]);
    assert!(node.end("wake").2.contains(", new plan "), "{}", node.end("wake").2);
    node.unit("bird.service.active", "failed");
    node.run().with(0);
    assert_eq!(node.calls(), ["reset-failed bird.service", "start bird.service"]);
}

#[test]
fn a_unit_that_dies_fails_the_boot_with_its_last_lines() {
    let node = node_of_services("http://127.0.0.1:9");
    node.unit("bird.service.does", "failed");
    node.unit("bird.service.journal", "bird: /etc/bird/bird.conf:3:1 \u{1b}[31msyntax error");
    let ended = node.run();
    ended.with(3).says("[08/12] services  | bird: /etc/bird/bird.conf:3:1 \\u{1b}[31msyntax error");
    ended
        .says("[08/12] services  hint: ")
        .says("[12/12] settle    failed: boot failed in services: bird.service has failed");
    let (outcome, reason, message) = node.end("settle");
    assert_eq!((outcome, reason.as_deref()), (Outcome::Failed, Some("service-failed")));
    assert_eq!(message, "boot failed in services: bird.service has failed (exit-code)");
    let status = node.status(&["--wait"]);
    assert!(status.with(2).out.contains("services failed (service-failed): bird.service has failed"), "{}", status.out);
    assert!(status.out.contains("\nhint: "), "{}", status.out);

    let node = node_of_services("http://127.0.0.1:9");
    fs::remove_file(node.systemd().join("bird.service.active")).unwrap();
    node.run().with(3).says("systemd cannot load bird.service (not-found) (service-failed)");
}

#[test]
fn a_service_that_is_not_ready_is_waited_for_aloud_to_the_deadline() {
    let consul = Server::start(|_, _| Response::new(500, "No known Consul servers"));
    let node = node_of_services(&consul.url());
    // Its last lines are told after about 20 s of half seconds.
    let mut plan = plan_of_services(&consul.url());
    plan["deadlines"]["services"] = json!(30);
    node.write(place::PLAN, &plan.to_string());
    node.unit("consul.service.journal", "agent: failed to join");
    let ended = node.run();
    ended.with(3).says("services  waiting: consul: waiting for a leader: ").says("with 500, No known Consul servers, ");
    ended.says("consul.service waiting: its last lines so far:").says("| agent: failed to join");
    let (outcome, reason, message) = node.end("services");
    assert_eq!((outcome, reason.as_deref()), (Outcome::Failed, Some("service-not-ready")));
    assert!(message.ends_with(", gave up after 30 s\nagent: failed to join"), "{message}");
}

#[test]
fn a_file_that_a_power_cut_has_emptied_keeps_no_service_down() {
    let consul = Server::start(|_, _| Response::ok("\"127.0.0.1:8300\""));
    let node = node_of_services(&consul.url());
    let mut plan = plan_of_services(&consul.url());
    plan["services"][1]["data"] = json!({"folder": "/var/lib/consul", "fatal_when_empty": ["node-id"]});
    node.write(place::PLAN, &plan.to_string());
    node.write("/var/lib/consul/node-id", "");
    node.write("/var/lib/consul/checks/of-somebody", "");
    node.write("/var/lib/consul/raft/raft.db", "data");
    node.unit("consul.service.active", "failed");
    let ended = node.run();
    ended.with(0).says("consul.service: removed what a power cut left empty: ").says("/var/lib/consul/node-id");
    assert!(!node.at("/var/lib/consul/node-id").exists() && node.at("/var/lib/consul/raft/raft.db").exists());
    assert!(node.at("/var/lib/consul/checks/of-somebody").exists(), "a file that nobody named was removed");
    let calls = node.calls();
    let of =
        |call: &str| calls.iter().position(|made| made == call).unwrap_or_else(|| panic!("no {call} in {calls:?}"));
    assert!(of("stop consul.service") < of("start consul.service"), "{calls:?}");

    // One that runs is left alone, whatever lies there.
    node.write("/var/lib/consul/node-id", "");
    node.run().with(0);
    assert!(node.at("/var/lib/consul/node-id").exists());
    assert_eq!(node.calls(), [] as [&str; 0]);
}

#[test]
fn a_service_that_has_not_failed_keeps_its_files_and_applications_keep_theirs_always() {
    let applications = [
        "/var/lib/nomad/alloc/8f2c/alloc/data/.lock",
        "/var/lib/nomad/alloc/8f2c/spin/local/robots.txt",
        "/var/lib/nomad/alloc/8f2c/alloc/logs/spin.stderr.0",
    ];
    let named = "/var/lib/nomad/node-id";
    let consul = leader();
    for (active, sub, stays) in [
        // As Type=notify is while Nomad starts.
        ("activating", "start", true),
        ("reloading", "reload", true),
        ("deactivating", "stop-sigterm", true),
        // `systemctl stop nomad`, then `systemctl restart anymetal`.
        ("inactive", "dead", true),
        ("active", "running", true),
        ("activating", "auto-restart", false),
        ("failed", "failed", false),
    ] {
        let node = node_of_services(&consul.url());
        let mut plan = plan_of_services(&consul.url());
        plan["services"][1]["data"] = json!({"folder": "/var/lib/nomad", "fatal_when_empty": ["node-id"]});
        node.write(place::PLAN, &plan.to_string());
        for file in applications.iter().chain([&named]) {
            node.write(file, "");
        }
        node.unit("consul.service.active", active);
        node.unit("consul.service.sub", sub);
        let ended = node.run();
        ended.with(0);
        for file in applications {
            assert!(node.at(file).exists(), "{file} was removed while the unit was {active}, {sub}");
        }
        assert_eq!(node.at(named).exists(), stays, "the unit was {active}, {sub}");
        let stopped = node.calls().contains(&"stop consul.service".to_owned());
        assert_eq!(stopped, !stays, "the unit was {active}, {sub}");
        assert_eq!(ended.err.contains("removed what a power cut left empty"), !stays, "{}", ended.err);
    }
}

#[test]
fn a_run_that_is_killed_goes_on_where_it_was_and_a_second_one_does_not_disturb_it() {
    let there = Arc::new(AtomicBool::new(false));
    let consul = Server::start({
        let there = Arc::clone(&there);
        move |_, _| Response::ok(if there.load(Ordering::SeqCst) { "\"10.0.0.1:8300\"" } else { "\"\"" })
    });
    let node = node_of_services(&consul.url());
    let mut command = node.command(&["run", "--backoff-cap-ms", "10"]);
    let running = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    until("the wait for a leader", || node.read(place::STATUS).contains("waiting for a leader"));

    node.run().with(3).says(&format!("another run is under way (pid {})", running.0.id()));
    let status = node.status(&[]);
    assert!(status.with(0).out.contains(": on its way\n"), "{}", status.out);
    drop(running);
    let status = node.status(&[]);
    assert!(status.with(2).out.contains(": cut off: nobody runs it\n"), "{}", status.out);

    node.calls();
    there.store(true, Ordering::SeqCst);
    node.run().with(0);
    assert_eq!(node.calls(), [] as [&str; 0], "what was started before the kill was started again");
    assert_eq!(
        node.end("wake").2,
        format!("machine {MACHINE}, run 2 of this plan; the last one was cut off in services")
    );
}

#[test]
fn a_disk_of_another_machine_begins_anew() {
    let consul = leader();
    let node = node_of_services(&consul.url());
    node.run().with(0);
    node.calls();
    let other = "f".repeat(32);
    node.write("/etc/machine-id", &format!("{other}\n"));
    node.run().with(0).says(&format!("it belongs to machine {MACHINE}, this one is {other}"));
    assert_eq!(node.end("wake").2, format!("machine {other}, first run"));
    assert!(node.at("/var/lib/anymetal/ledger.json.old").exists());
    assert!(node.calls().contains(&"restart bird.service".to_owned()));
}

#[test]
fn a_plan_that_cannot_be_followed_stops_the_boot_with_its_reason() {
    for (change, reason, says) in [
        (json!({"version": 2}), "plan-unreadable", "it has version 2, this init"),
        (json!({"mood": "fine"}), "plan-unreadable", "unknown field `mood`"),
        (json!({"platform": "moonbase"}), "plan-beyond-init", "cannot do: platform moonbase"),
        (json!({"phases": ["prove"]}), "plan-unreadable", "phase prove without phase facts"),
        (json!({"platform": "moonbase"}), "plan-beyond-init", "cannot do: platform moonbase"),
    ] {
        let node = Node::new();
        let mut plan = plan();
        for (key, value) in change.as_object().unwrap() {
            plan[key] = value.clone();
        }
        node.write(place::PLAN, &plan.to_string());
        node.run().with(2).says("[02/12] plan      failed: ").says(says).says(&format!("({reason})")).says("hint: ");
        assert_eq!(node.end("settle").1.as_deref(), Some(reason));
    }
    let node = Node::new();
    node.run().with(2).says("etc/anymetal/plan.json: No such file").says("(plan-unreadable)");
    fs::remove_file(node.at("/etc/machine-id")).unwrap();
    node.run().with(2).says("there is no /etc/machine-id (machine-id-missing)");
    node.status(&[]).with(2);
}

/// Pins a release of this plan, which lies there too.
fn release(node: &Node, serial: u64, plan: &Value, signers: &[&str]) {
    let plan = plan.to_string();
    let release = json!({
        "kind": "anymetal.release", "version": 1, "site": "demo", "serial": serial, "signers": signers, "inits": {},
        "plan": {"sha256": sha256(plan.as_bytes()), "size": plan.len()}, "stub": "0".repeat(64), "unit": "1".repeat(64),
    });
    node.write(place::PLAN, &plan);
    pin(node, release.to_string().as_bytes());
}

/// Pins a release of these bytes, which lie there.
fn pin(node: &Node, release: &[u8]) {
    node.write(place::PINS, &format!("anymetal.pins 1\nrelease {} {}\n", sha256(release), release.len()));
    fs::write(node.at(place::RELEASE), release).unwrap();
}

/// minisign's own tool, in the folder of the node's files.
fn minisign(node: &Node, words: &[&str]) {
    let mut command = Command::new("minisign");
    let said = command.args(words).current_dir(node.at("/etc/anymetal")).stdin(Stdio::null()).output();
    let said = said.expect("minisign is not on PATH: install the package minisign");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

/// The public half of a new key.
fn new_key(node: &Node, key: &str) -> String {
    fs::create_dir_all(node.at("/etc/anymetal")).unwrap();
    minisign(node, &["-GW", "-s", key, "-p", &format!("{key}.pub")]);
    node.read(&format!("/etc/anymetal/{key}.pub")).lines().nth(1).unwrap().to_owned()
}

fn sign(node: &Node, key: &str) {
    minisign(node, &["-Sm", "release.json", "-s", key, "-c", "anymetal"]);
}

/// The run stops at the phase `plan`.
fn stops(node: &Node, reason: &str, says: &str) {
    node.run().with(2).says("[02/12] plan      failed: ").says(says).says(&format!("({reason})")).says("hint: ");
    assert_eq!(node.end("settle").1.as_deref(), Some(reason));
}

#[test]
fn a_node_that_names_signers_takes_only_a_release_that_one_of_them_signed() {
    let node = Node::new();
    // it goes on to what this init cannot do, and no further
    let mut beyond = plan();
    beyond["platform"] = json!("moonbase");
    let goes_on = || stops(&node, "plan-beyond-init", "cannot do: platform moonbase");
    for key in ["ours", "stranger"] {
        new_key(&node, key);
    }
    release(&node, 1, &beyond, &[]);
    goes_on();
    // the public file of minisign is a list of one
    fs::copy(node.at("/etc/anymetal/ours.pub"), node.at(place::SIGNERS)).unwrap();
    let unsigned = "there is no /etc/anymetal/release.json.minisig, and /etc/anymetal/signers names who has to sign";
    stops(&node, "release-unsigned", unsigned);
    sign(&node, "stranger");
    stops(&node, "release-signature-wrong", "which is none of the signers");
    sign(&node, "ours");
    goes_on();
    let text = node.read(place::RELEASE);
    for at in (0..text.len()).step_by(text.len() / 20) {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1;
        pin(&node, &bytes);
        stops(&node, "release-signature-wrong", "or not over these bytes");
    }
    pin(&node, text.as_bytes());
    // another plan than the release pins does not count, and there is no origin that has the right one
    let given = node.at("/other.json");
    fs::write(&given, plan().to_string()).unwrap();
    let other = node.command(&["run", "--plan", given.to_str().unwrap()]).output().unwrap();
    Ended::of(&other).with(2).says("other.json is another plan, sha256 ").says("(release-unreadable)");
    goes_on();
    fs::remove_file(node.at(place::PINS)).unwrap();
    stops(&node, "release-unsigned", "there is no /etc/anymetal/pins, and /etc/anymetal/signers names who has to sign");
    node.write(place::SIGNERS, "");
    pin(&node, text.as_bytes());
    stops(&node, "signers-unusable", "there is no public key in it");
}

#[test]
fn a_node_remembers_who_may_sign_and_the_highest_serial() {
    let node = Node::new();
    let (first, second) = (new_key(&node, "first"), new_key(&node, "second"));
    let up = |words: &str| _ = node.run().with(0).says("node is up, plan ").says(words);
    // user-data lists the first key, the release says who is next
    node.write(place::SIGNERS, &format!("{first}\n"));
    release(&node, 5, &plan(), &[&second]);
    sign(&node, "first");
    up(" serial 5, ");
    fs::remove_file(node.at(place::SIGNERS)).unwrap();
    release(&node, 6, &plan(), &[&second]);
    sign(&node, "first");
    stops(&node, "release-signature-wrong", "by /var/lib/anymetal/trust.json: the signature is by the key ");
    fs::remove_file(node.at(place::SIGNATURE)).unwrap();
    stops(&node, "release-unsigned", "and /var/lib/anymetal/trust.json names who has to sign");
    sign(&node, "second");
    up(" serial 6, ");
    release(&node, 5, &plan(), &[&second]);
    sign(&node, "second");
    stops(&node, "release-stale", ": its serial is 5, and this node has run serial 6");
    let told = node.command(&["run", "--allow-rollback"]).output().unwrap();
    Ended::of(&told)
        .with(0)
        .says("its serial is 5, and this node has run serial 6; taken, as told")
        .says(" serial 5, ");
    let said = node.status(&[]).with(0).out.clone();
    assert!(said.lines().next().unwrap().ends_with(" serial 5: up"), "{said}");
    let status: Value = serde_json::from_str(&node.status(&["--json"]).out).unwrap();
    assert_eq!(
        (status["serial"].as_u64(), &status["release"]),
        (Some(5), &json!(sha256(node.read(place::RELEASE).as_bytes())))
    );
    // unsigned again, but only by a signed word
    release(&node, 7, &plan(), &[]);
    sign(&node, "second");
    up(" serial 7, ");
    fs::remove_file(node.at(place::SIGNATURE)).unwrap();
    release(&node, 8, &plan(), &[]);
    up(" serial 8, ");
}

#[test]
fn status_of_a_node_that_has_not_begun_is_2() {
    Node::new().status(&[]).with(2).says("no boot has begun here");
}

#[test]
fn a_webhook_of_the_kernel_command_line_gets_every_event_in_order_once_it_is_there() {
    let node = Node::new();
    node.write(place::PLAN, &plan().to_string());
    let taken = Server::start(|_, _| Response::ok(""));
    let address = taken.url();
    node.write("/proc/cmdline", &format!("quiet {}={address}/hook\n", place::ARG_REPORT));
    node.run().with(0);
    let posted = |server: &Server| -> Vec<Event> {
        server.requests().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    };
    assert_eq!(posted(&taken), node.events());
    assert!(taken.requests().iter().all(|request| request.path == "/hook" && request.method == "POST"));
    drop(taken);

    node.run().with(0).says("report    webhook 127.0.0.1:").says("kept, and sent by the next run");
    let missed = node.events();
    let back = Server::start_at(address.trim_start_matches("http://"), |_, _| Response::ok(""));
    node.run().with(0);
    let first_of_missed = missed.iter().position(|event| event.message.contains("run 2 of")).unwrap() - 1;
    assert_eq!(posted(&back), node.events()[first_of_missed..]);
}

/// The metadata of a machine with a session for IPv4, in no metro.
fn metadata() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/metadata/v4-multihop.json");
    fs::read_to_string(path).unwrap().replace("\"metro\":", "\"no-metro\":")
}

/// A plan that needs metadata for a file that a service runs with.
fn plan_of_metadata() -> Value {
    let mut plan = plan();
    plan["phases"] = json!(["metadata", "facts", "files", "services"]);
    // What was kept is used after a quarter of it.
    plan["deadlines"] = json!({"metadata": 4, "settle": 2});
    let package = json!({"host-package": {"package": "p", "program": "p", "version_argument": "--version"}});
    plan["components"] = json!([{"name": "bird", "version": "2.0.12", "source": package}]);
    plan["files"] = json!([
        {"name": "a", "path": "/etc/a", "mode": "0644", "owner": "root:root", "needs": ["node"], "body": "{{ node }}\n"},
        {"name": "b", "path": "/etc/b", "mode": "0644", "owner": "root:root", "needs": ["private4"], "body": "{{ private4 }}\n"}
    ]);
    plan["services"] = json!([
        {"unit": "bird.service", "component": "bird", "files": ["a", "b"], "reload": true, "ready": "active"}
    ]);
    plan
}

/// A node that was up once, by a metadata service that is gone now.
fn up_once() -> Node {
    let node = Node::new();
    node.write(place::PLAN, &plan_of_metadata().to_string());
    node.unit("bird.service.active", "inactive");
    let server = Server::start(|_, _| Response::ok(metadata()));
    node.write("/proc/cmdline", &format!("{}={}\n", place::ARG_METADATA, server.url()));
    node.run().with(0);
    assert_eq!(node.read("/etc/a"), "edge-1\n");
    node.calls();
    node
}

/// The hosts a proxy was asked for.
fn through(proxy: &Server) -> BTreeSet<String> {
    let host = |path: &str| path.split("://").nth(1).unwrap_or(path).split('/').next().unwrap_or_default().to_owned();
    proxy.requests().iter().map(|request| host(&request.path)).collect()
}

/// A node with metadata, an origin that only a proxy reaches, a leader on the loopback, and reports to somewhere outside.
fn node_of_all_ways(blob: &[u8]) -> (Node, [Server; 2]) {
    let (consul, metadata) = (leader(), Server::start(|_, _| Response::ok(metadata())));
    let node = node_of_services(&consul.url());
    let mut plan = plan_of_services(&consul.url());
    plan["phases"] = json!(["metadata", "acquire", "install", "services"]);
    plan["origins"] = json!(["http://origin.invalid/am"]);
    let member = json!({"member": "nomad", "file": "nomad", "executable": true});
    let artefact =
        json!({"sha256": sha256(blob), "size": blob.len(), "urls": [], "format": "zip", "members": [member]});
    plan["components"] = json!([{"name": "nomad", "version": "1.10.5", "source": {"artefacts": {"x86_64": artefact}}}]);
    plan["services"][0]["component"] = json!("nomad");
    plan["services"][1]["component"] = json!("nomad");
    node.write(place::PLAN, &plan.to_string());
    let (of_metadata, of_report) = (place::ARG_METADATA, place::ARG_REPORT);
    node.write("/proc/cmdline", &format!("{of_metadata}={} {of_report}=http://hook.invalid/x\n", metadata.url()));
    (node, [consul, metadata])
}

#[test]
fn a_proxy_of_the_environment_sees_what_goes_outside_and_nothing_of_what_is_near() {
    let blob = archive::zip(&[archive::Entry::file("nomad", "#!/bin/sh\n")]);
    let (node, near) = node_of_all_ways(&blob);
    let served = blob.clone();
    let proxy = Server::start(move |request, _| {
        if request.path == format!("http://origin.invalid/am/sha256/{}", sha256(&served)) {
            return Response::file(request, &served);
        }
        if request.path == "http://hook.invalid/x" { Response::ok("") } else { Response::new(502, "") }
    });
    let mut command = node.command(&["run", "--backoff-cap-ms", "10"]);
    for name in ["http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"] {
        command.env(name, proxy.url().replace("http://", "http://user:hunter2@"));
    }
    command.env("no_proxy", "nothing.example");
    let ended = Ended::of(&command.output().unwrap());
    ended.with(0).says("node is up").says("1 artefact, ").says(" from http://origin.invalid/am");
    assert!(!ended.err.contains("hunter2"), "{}", ended.err);
    let outside: BTreeSet<String> = ["origin.invalid", "hook.invalid"].map(str::to_owned).into();
    assert_eq!(through(&proxy), outside);
    assert!(near.iter().all(|server| !server.requests().is_empty()), "somebody near was not asked at all");
}

#[test]
fn a_proxy_of_the_plans_own_is_used_when_the_environment_names_none() {
    let blob = archive::zip(&[archive::Entry::file("nomad", "#!/bin/sh\n")]);
    let (node, _near) = node_of_all_ways(&blob);
    let proxy = Server::start(move |request, _| {
        if request.path.starts_with("http://origin.invalid/") {
            Response::file(request, &blob)
        } else {
            Response::ok("")
        }
    });
    let mut plan: Value = serde_json::from_str(&node.read(place::PLAN)).unwrap();
    plan["proxy"] = json!({"url": proxy.url()});
    node.write(place::PLAN, &plan.to_string());
    node.run().with(0).says(" from http://origin.invalid/am");
    assert!(through(&proxy).contains("origin.invalid"));
}

#[test]
fn a_node_whose_platform_is_gone_comes_up_again_and_says_that_its_metadata_is_stale() {
    let node = up_once();
    node.run().with(0).says("node is up");
    assert_eq!(node.calls(), [""; 0], "something was restarted");
    let (outcome, _, sentence) = node.end("metadata");
    assert_eq!(outcome, Outcome::Done);
    assert!(sentence.contains("2 BGP neighbours; metadata is stale since 20"), "{sentence}");
    let (_, _, sentence) = node.end("settle");
    assert!(sentence.contains("; metadata is stale since 20"), "{sentence}");
    let said = node.status(&[]);
    assert!(said.with(0).out.contains("\nwarning: metadata is stale since 20"), "{}", said.out);
    let status: Value = serde_json::from_str(&node.status(&["--json"]).out).unwrap();
    assert!(status["warnings"][0].as_str().unwrap().contains("refused"), "{status}");
}

#[test]
fn a_new_plan_that_does_not_fit_this_node_changes_nothing_of_what_runs() {
    let node = up_once();
    let before = [node.read("/etc/a"), node.read("/etc/b"), node.read("/etc/c")];
    for (needs, body, phase, reason, code) in [
        // The platform may tell it yet.
        ("metro", "{{ metro }}", "facts", "facts-missing", 3),
        ("node", "{{ node | no_such }}", "files", "template-broken", 2),
        ("node", "bad", "files", "file-rejected", 2),
    ] {
        let mut plan = plan_of_metadata();
        plan["files"][0]["body"] = json!("new\n");
        plan["files"][1] = json!({"name": "b", "path": "/etc/b", "mode": "0644", "owner": "root:root", "needs": [needs], "body": body,
            "check": ["sh", "-c", "! grep -q bad \"$0\"", "{}"]});
        node.write(place::PLAN, &plan.to_string());
        node.run().with(code);
        let (_, found, message) = node.end(phase);
        assert_eq!(found.as_deref(), Some(reason), "{message}");
        assert_eq!([node.read("/etc/a"), node.read("/etc/b"), node.read("/etc/c")], before, "{reason}");
        assert_eq!(node.calls(), [""; 0], "{reason}");
    }
}
