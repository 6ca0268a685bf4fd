//! A node that is kept watch over: BIRD and the guard under a real systemd, a platform that answers as it is told, a real neighbour, and
//! everything between them recorded.
//! May not expect anything but that it comes up: the suite does.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use anymetal_lab::authority::Authority;
use anymetal_lab::bgp::{Body, Daemon, Message, Peer, Recorder};
use anymetal_lab::http::{Request, Response, Server};
use anymetal_lab::systemd::Systemd;
use anymetal_lab::topology::{NODE4, NODE6, Topology};
use anymetal_lab::wait;
use serde_json::{Value, json};

use crate::render::{SITE, bird_conf_with, unit};
use crate::world::{LIMIT, PASSWORD, SESSIONS, session};

/// The guard's unit.
pub const GUARD: &str = "anymetal-guard.service";
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
const ADDRESSES: [&str; 3] = ["198.51.100.6", "203.0.113.7", "[2001:db8:45d1:fd80::7]"];
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
        let good = || match request.path.as_str() {
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

/// All that is in a test. What comes first is dropped first.
pub struct Watched {
    pub systemd: Systemd,
    pub peer: Peer,
    _servers: Vec<Server>,
    pub health: Health,
    pub recorder: Recorder,
    pub topology: Topology,
    _etc: tempfile::TempDir,
}

impl Watched {
    /// A node whose guard goes by these rules, whose first neighbour is this daemon, and whose platform begins so.
    pub fn new(daemon: Daemon, rules: &Value, platform: Platform) -> Self {
        let topology = Topology::new().unwrap();
        let recorder = Recorder::start(&topology.edge).unwrap();
        let health = Health::new(platform);
        let authority = Authority::new();
        let servers = [("127.0.0.1:8501", true), ("127.0.0.1:4646", true), ("[::]:80", false)].map(|(address, tls)| {
            let health = health.clone();
            let answer = move |request: &Request, _: usize| health.answer(request);
            topology.node.inside(|| match tls {
                true => Server::start_tls(address, authority.server(), answer),
                false => Server::start_at(address, answer),
            })
        });
        let etc = etc(rules, &authority.certificate);
        let init = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
        let systemd = Systemd::new()
            .unit("bird.service", BIRD)
            .unit(
                GUARD,
                &unit("anymetal-guard.service.tera").replace("Wants=network-online.target", "DefaultDependencies=no"),
            )
            .fresh("/var/log/anymetal")
            .fresh("/var/lib/anymetal")
            .fresh("/opt/anymetal/bin")
            .bind(etc.path(), "/etc")
            .bind(PathBuf::from(init), "/opt/anymetal/bin/anymetal-init")
            .start(&topology.node, &["bird.service", GUARD])
            .unwrap();
        let peer = Peer::start(&topology, daemon, &session()).unwrap();
        Self { systemd, peer, _servers: servers.into(), health, recorder, topology, _etc: etc }
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
        let text = fs::read_to_string(self.systemd.path("/run/anymetal/guard.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Waits until the guard has this stance.
    pub fn stands(&self, stance: &str) {
        let stands = wait::until(LIMIT, || self.status()["stance"] == stance);
        assert!(stands, "the guard is not {stance}: {}\n{}", self.status(), self.systemd.output());
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
fn etc(rules: &Value, ca: &str) -> tempfile::TempDir {
    let etc = tempfile::tempdir().unwrap();
    for name in ["passwd", "group", "nsswitch.conf", "hosts", "machine-id", "os-release"] {
        let _not_there = fs::copy(format!("/etc/{name}"), etc.path().join(name));
    }
    for folder in ["bird", "anymetal"] {
        fs::create_dir(etc.path().join(folder)).unwrap();
    }
    fs::write(etc.path().join("bird/bird.conf"), bird_conf_with(Some(PASSWORD), rules["quorum"]["community"].as_str()))
        .unwrap();
    fs::create_dir(etc.path().join("anymetal/tls")).unwrap();
    fs::write(etc.path().join("anymetal/tls/ca.pem"), ca).unwrap();
    fs::write(etc.path().join("anymetal/guard.json"), document(rules).to_string()).unwrap();
    etc
}

/// What the guard keeps watch by, as `prove` writes it.
fn document(rules: &Value) -> Value {
    let request = |name: &str, url: String, host: Option<&str>| {
        let mut request = json!({"url": url, "status": 200});
        if let Some(host) = host {
            request["host"] = host.into();
        }
        json!({"name": name, "ask": {"request": request}})
    };
    let mut links = vec![
        json!({"name": "consul", "ask": {"consul": {"api": "https://127.0.0.1:8501", "token": "c0ffee"}}}),
        json!({"name": "nomad", "ask": {"nomad": {"api": "https://127.0.0.1:4646", "token": "c0ffee"}}}),
        request("traefik", "http://127.0.0.1/ping".into(), None),
        request("hippo", "http://127.0.0.1/healthz".into(), Some(HIPPO)),
    ];
    links.extend(
        ADDRESSES
            .map(|address| request(&format!("anycast {address}"), format!("http://{address}/healthz"), Some(HIPPO))),
    );
    let canary =
        |address: &str| json!({"url": format!("http://{address}/app"), "host": "app.example.org", "status": 200});
    links.push(json!({"name": "canary app.example.org",
        "ask": {"canary": {"here": canary(ADDRESSES[0]), "elsewhere": [canary(NODE4)]}}}));
    let neighbours = ["edge_v4_1", "edge_v4_2", "edge_v6_1", "edge_v6_2"];
    json!({"kind": "anymetal.guard", "version": 1, "site": "demo", "node": "edge-1", "bird": "/run/bird/bird.ctl",
        "ca": "/etc/anymetal/tls/ca.pem",
        "neighbours": neighbours, "prefixes": SITE, "rules": rules, "links": links})
}

fn said(output: std::io::Result<Output>) -> String {
    let output = output.unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
