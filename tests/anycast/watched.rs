//! A node that is kept watch over: firewall, BIRD and the guard under a real systemd, a platform that answers as it is told, a real neighbour,
//! and everything between them recorded.
//! May not expect anything but that it comes up: the suite does.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anymetal_lab::authority::Authority;
use anymetal_lab::bgp::{Body, Daemon, Message, Peer, Recorder};
use anymetal_lab::http::{Request, Response, Server};
use anymetal_lab::namespace::Namespace;
use anymetal_lab::systemd::Systemd;
use anymetal_lab::topology::{NODE4, NODE6, Topology};
use anymetal_lab::wait;
use serde_json::{Value, json};

use crate::render::{BIRD_CONF, FIREWALL, Files, SITE, SYSCTL, Which};
use crate::world::{LIMIT, PASSWORD, SESSIONS, session};

/// The guard's unit.
pub const GUARD: &str = "anymetal-guard.service";
/// The firewall's.
pub const FIREWALL_UNIT: &str = "anymetal-firewall.service";
/// BIRD's, as Debian's, but for what waits for a whole machine.
const BIRD: &str = "[Unit]
DefaultDependencies=no
[Service]
ExecStartPre=/bin/mkdir -p /run/bird
ExecStartPre=/bin/chown bird:bird /run/bird
ExecStart=/usr/sbin/bird -f -u bird -g bird -c /etc/bird/bird.conf -s /run/bird/bird.ctl -P /run/bird/bird.pid
Restart=on-abort
";
/// What each prefix is asked at.
const ADDRESSES: [&str; 3] = ["198.51.100.6", "203.0.113.7", "2001:db8:45d1:fd80::7"];
/// What the platform answers under.
const HIPPO: &str = "hippo.example.org";

/// How the platform answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Platform {
    /// As it should.
    Well,
    /// This path with a 503.
    Ill(&'static str),
    /// This path not at all.
    Hung(&'static str),
}

/// An answer that was given.
#[derive(Debug, Clone)]
pub struct Given {
    pub at: SystemTime,
    pub path: String,
    pub status: u16,
}

/// What the platform does, and has done.
#[derive(Clone)]
pub struct Health {
    now: Arc<Mutex<Platform>>,
    given: Arc<Mutex<Vec<Given>>>,
}

impl Health {
    fn new(platform: Platform) -> Self {
        Self { now: Arc::new(Mutex::new(platform)), given: Arc::default() }
    }

    /// From now on.
    pub fn set(&self, platform: Platform) {
        *self.now.lock().unwrap() = platform;
    }

    /// Every answer so far, in order.
    pub fn given(&self) -> Vec<Given> {
        self.given.lock().unwrap().clone()
    }

    fn answer(&self, request: &Request) -> Response {
        let platform = self.now.lock().unwrap().clone();
        let good = || match request.path.split('?').next().unwrap_or_default() {
            "/v1/status/leader" => Response::ok("\"10.66.142.17:8300\""),
            "/v1/health/node/edge-1" => Response::ok(r#"[{"CheckID":"serfHealth","Status":"passing"}]"#),
            "/v1/nodes" => Response::ok(r#"[{"Name":"edge-1","Status":"ready","SchedulingEligibility":"eligible"}]"#),
            "/healthz" if request.header("host") != Some(HIPPO) => Response::not_found(),
            _ => Response::ok("well"),
        };
        let response = match platform {
            Platform::Ill(path) if path == request.path => Response::new(503, "out of order"),
            Platform::Hung(path) if path == request.path => Response { stall_after: Some(0), ..Response::ok("late") },
            _ => good(),
        };
        let given = Given { at: SystemTime::now(), path: request.path.clone(), status: response.status };
        self.given.lock().unwrap().push(given);
        response
    }
}

/// What runs on one node. What comes first is dropped first.
pub struct Node {
    pub systemd: Systemd,
    _servers: Vec<Server>,
    pub health: Health,
    _etc: tempfile::TempDir,
}

/// All that is in a test of one node.
pub struct Watched {
    node: Node,
    pub peer: Peer,
    pub recorder: Recorder,
    pub topology: Topology,
}

impl Deref for Watched {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

impl Watched {
    /// A node whose guard goes by these rules, whose first neighbour is this daemon, and whose platform begins so.
    pub fn new(daemon: Daemon, rules: &Value, platform: Platform) -> Self {
        Self::on(Topology::new().unwrap(), daemon, rules, platform, &[])
    }

    /// The same on this topology, with more units on the node.
    pub fn on(topology: Topology, daemon: Daemon, rules: &Value, platform: Platform, units: &[(&str, &str)]) -> Self {
        let recorder = Recorder::start(&topology.edge).unwrap();
        let node = Node::start(&topology.node, Which::First, rules, platform, units);
        let peer = Peer::start(&topology, daemon, &session()).unwrap();
        Self { node, peer, recorder, topology }
    }

    /// Waits until both sessions are established, in BIRD's words and the neighbour's.
    pub fn established(&self) {
        let up = || SESSIONS.iter().all(|session| self.birdc(&["show", "protocols", session]).contains("Established"));
        let established = || up() && [4, 6].iter().all(|family| self.peer.established(*family).unwrap());
        assert!(wait::until(LIMIT, established), "{}\n{}", self.birdc(&["show", "protocols"]), self.peer.output());
    }

    /// Waits until the neighbour has exactly these prefixes.
    pub fn has(&self, prefixes: &[&str]) {
        let mut has = Vec::new();
        let holds = wait::until(LIMIT, || {
            has = self.peer.routes().unwrap().into_iter().map(|route| route.prefix).collect();
            has == prefixes
        });
        assert!(
            holds,
            "the neighbour has {has:?} instead of {prefixes:?}\n{}\n{}",
            self.status(),
            self.systemd.output()
        );
    }

    /// Waits until every prefix has been withdrawn since then; when the last was.
    pub fn withdrawn(&self, mark: usize) -> SystemTime {
        let mut messages = Vec::new();
        let gone = wait::until(LIMIT, || {
            messages = self.updates(mark);
            let withdrawn = messages.iter().filter_map(Message::update).flat_map(|update| &update.withdrawn);
            let mut withdrawn: Vec<&String> = withdrawn.collect();
            withdrawn.sort();
            withdrawn == SITE_SORTED
        });
        assert!(gone, "not every prefix was withdrawn once: {messages:?}\n{}", self.status());
        messages.last().expect("there were withdrawals").at
    }

    /// What the node has told its neighbour since then, of prefixes.
    pub fn updates(&self, mark: usize) -> Vec<Message> {
        let own = |message: &Message| [NODE4, NODE6].contains(&message.from.to_string().as_str());
        let messages = self.recorder.messages();
        messages.into_iter().skip(mark).filter(|message| own(message) && message.update().is_some()).collect()
    }

    /// Whether a session has been ended or begun since then.
    pub fn disturbed(&self, mark: usize) -> bool {
        let disturbs = |message: &Message| matches!(message.body, Body::Open | Body::Notification(_));
        self.recorder.messages()[mark..].iter().any(disturbs)
    }
}

impl Node {
    /// This node, in its network. Its guard goes by these rules, and its platform begins so.
    pub fn start(network: &Namespace, which: Which, rules: &Value, platform: Platform, units: &[(&str, &str)]) -> Self {
        let health = Health::new(platform);
        let authority = Authority::new();
        let servers = [("127.0.0.1:8501", true), ("127.0.0.1:4646", true), ("[::]:80", false)].map(|(address, tls)| {
            let health = health.clone();
            let answer = move |request: &Request, _: usize| health.answer(request);
            network.inside(|| {
                if tls {
                    Server::start_tls(address, authority.server(), answer)
                } else {
                    Server::start_at(address, answer)
                }
            })
        });
        let files = Files::of(which, Some(PASSWORD), rules["quorum"]["community"].as_str());
        let etc = etc(&files, rules, &authority.certificate);
        let init = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
        let guard = files.unit(GUARD).replace("Wants=network-online.target", "DefaultDependencies=no");
        let own = [("bird.service", BIRD), (GUARD, &guard), (FIREWALL_UNIT, &files.unit(FIREWALL_UNIT))];
        let mut plan = Systemd::new();
        for (name, text) in own.iter().chain(units) {
            plan = plan.unit(name, text);
        }
        let wanted: Vec<&str> = own.iter().chain(units).map(|(name, _)| *name).collect();
        let systemd = plan
            .fresh("/var/log/anymetal-guard")
            .fresh("/var/lib/anymetal-guard")
            .fresh("/opt/anymetal/bin")
            .bind(etc.path(), "/etc")
            .bind(PathBuf::from(init), "/opt/anymetal/bin/anymetal-init")
            .start(network, &wanted)
            .unwrap();
        Self { systemd, _servers: servers.into(), health, _etc: etc }
    }

    /// The addresses of its loopback, as `ip` says them.
    pub fn addresses(&self) -> String {
        said(self.systemd.command("ip").args(["-o", "address", "show", "dev", "lo"]).output())
    }

    /// The guard's metrics.
    pub fn metrics(&self) -> String {
        said(self.systemd.command("curl").args(["-sS", "http://127.0.0.1:9469/metrics"]).output())
    }

    /// One of them; nothing while there is none.
    pub fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.metrics();
        metrics.lines().find_map(|line| line.strip_prefix(&format!("anymetal_guard_{name} "))?.parse().ok())
    }

    /// Runs a program on the node that has to succeed.
    pub fn run(&self, words: &str) -> String {
        let (program, arguments) = words.split_once(' ').unwrap_or((words, ""));
        let output = self.systemd.command(program).args(arguments.split_whitespace()).output().unwrap();
        let success = output.status.success();
        let said = said(Ok(output));
        assert!(success, "{words}: {said}");
        said
    }

    /// What BIRD answers.
    pub fn birdc(&self, words: &[&str]) -> String {
        said(self.systemd.command("birdc").args(words).output())
    }

    /// What the node's own init answers, and its exit code.
    pub fn init(&self, words: &[&str]) -> (i32, String) {
        let output = self.systemd.command("/opt/anymetal/bin/anymetal-init").args(words).output().unwrap();
        (output.status.code().unwrap_or(-1), said(Ok(output)))
    }

    /// The guard's own word.
    pub fn status(&self) -> Value {
        let text = fs::read_to_string(self.systemd.path("/run/anymetal-guard/status.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Waits until the guard has this stance.
    pub fn stands(&self, stance: &str) {
        let stands = wait::until(LIMIT, || self.status()["stance"] == stance);
        assert!(stands, "the guard is not {stance}: {}\n{}", self.status(), self.systemd.output());
    }

    /// Sends a signal to the guard itself; when that was.
    pub fn signal(&self, signal: &str) -> SystemTime {
        let id = self.systemd.main_pid(GUARD).unwrap();
        let at = SystemTime::now();
        assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
        at
    }
}

/// The site's prefixes in the order of their text.
pub const SITE_SORTED: [&str; 3] = ["198.51.100.6/31", "2001:db8:45d1:fd80::7/128", "203.0.113.7/32"];

/// The `/etc` that the node sees: of the host's what programs need to know users by, and what init has written.
fn etc(files: &Files, rules: &Value, ca: &str) -> tempfile::TempDir {
    let etc = tempfile::tempdir().unwrap();
    for name in ["passwd", "group", "nsswitch.conf", "hosts", "machine-id", "os-release"] {
        let _not_there = fs::copy(format!("/etc/{name}"), etc.path().join(name));
    }
    for path in [BIRD_CONF, FIREWALL, SYSCTL] {
        let place = etc.path().join(path.strip_prefix("/etc/").unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, files.text(path)).unwrap();
    }
    for folder in ["systemd/network", "anymetal/tls"] {
        fs::create_dir_all(etc.path().join(folder)).unwrap();
    }
    fs::write(etc.path().join("anymetal/tls/ca.pem"), ca).unwrap();
    fs::write(etc.path().join("anymetal/guard.json"), document(rules, &files.text(FIREWALL)).to_string()).unwrap();
    etc
}

/// What the guard keeps watch by, as `prove` writes it.
fn document(rules: &Value, firewall: &str) -> Value {
    let request = |name: &str, url: String, at: Option<&str>| {
        let mut request = json!({"url": url, "status": 200});
        if let Some(at) = at {
            request["at"] = at.into();
        }
        json!({"name": name, "ask": {"request": request}})
    };
    let mut links = vec![
        json!({"name": "consul", "ask": {"consul": {"api": "https://127.0.0.1:8501", "token": "c0ffee"}}, "graced": true}),
        json!({"name": "nomad", "ask": {"nomad": {"api": "https://127.0.0.1:4646", "token": "c0ffee"}}, "graced": true}),
        request("traefik", "http://127.0.0.1/ping".into(), None),
        request("hippo", format!("http://{HIPPO}/healthz"), Some("127.0.0.1")),
    ];
    links.extend(
        ADDRESSES
            .map(|address| request(&format!("anycast {address}"), format!("http://{HIPPO}/healthz"), Some(address))),
    );
    let canary = |address: &str| json!({"url": "http://app.example.org/app", "at": address, "status": 200});
    links.push(json!({"name": "canary app.example.org",
        "ask": {"canary": {"here": canary(ADDRESSES[0]), "elsewhere": [canary(NODE4)]}}}));
    let neighbours = ["edge_v4_1", "edge_v4_2", "edge_v6_1", "edge_v6_2"];
    json!({"kind": "anymetal.guard", "version": 1, "site": "demo", "node": "edge-1", "bird": "/run/bird/bird.ctl",
        "ca": "/etc/anymetal/tls/ca.pem",
        "neighbours": neighbours, "prefixes": SITE, "rules": rules, "links": links, "firewall": in_force(firewall)})
}

/// What the firewall's file puts in force, as `prove` says it.
fn in_force(text: &str) -> Value {
    let chains = text.lines().filter_map(|line| line.trim().strip_prefix("chain ")?.strip_suffix(" {"));
    let led_to = |chain: &str| text.lines().filter(|line| line.trim().ends_with(&format!("jump {chain}"))).count();
    let chains: BTreeMap<&str, usize> = chains.map(|chain| (chain, led_to(chain))).collect();
    let generation = text.split("generation ").nth(1).and_then(|rest| rest.split('"').next());
    json!({"file": FIREWALL, "generation": generation, "chains": chains})
}

fn said(output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
