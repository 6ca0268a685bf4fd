//! The platform's own programs restarted, killed and stopped on a node, and its first start when Nomad loses a race with itself: what the network
//! and users see of it. With doubles in `make test`; `tests/platform-suites` runs the long ones, which are ignored here, with real programs.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anymetal_contract::place;
use anymetal_lab::wait;
use serde_json::{Value, json};

use crate::server::{Power, Server, possible};
use crate::site::Site;

/// No single step takes longer; a limit against hanging, not a measure.
const LIMIT: Duration = Duration::from_mins(1);
/// How long after an act a withdrawal is still taken for its consequence: longer than the guard's grace.
const CONSEQUENCE: Duration = Duration::from_secs(15);
/// What is announced to the neighbour.
const PREFIX: &str = "198.51.100.7/32";

/// What is acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Component {
    /// A unit, by its name.
    Unit(&'static str),
    /// A job, whose program runs as the user of its name.
    Job(&'static str),
}

impl Component {
    const ALL: [Self; 7] = [
        Self::Unit("nomad"),
        Self::Unit("consul"),
        Self::Job("traefik"),
        Self::Job("bindle"),
        Self::Job("hippo"),
        Self::Unit("anymetal-guard"),
        Self::Unit("bird"),
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Unit(name) | Self::Job(name) => name,
        }
    }

    /// Restarts it as an operator does.
    fn restart(self, node: &Upstream) {
        match self {
            Self::Unit(name) => drop(node.run(&format!("systemctl restart {name}"))),
            Self::Job(name) => {
                let allocs: Value =
                    serde_json::from_str(&node.nomad("GET", &format!("/v1/job/{name}/allocations"))).unwrap();
                let runs = |alloc: &&Value| alloc["ClientStatus"] == "running";
                let alloc = allocs.as_array().unwrap().iter().find(runs).unwrap_or_else(|| panic!("{name}: {allocs}"));
                let id = alloc["ID"].as_str().unwrap();
                node.nomad("POST", &format!("/v1/client/allocation/{id}/restart"));
            }
        }
    }

    fn signal(self, node: &Upstream, signal: &str) {
        match self {
            Self::Unit(name) => node.run(&format!("kill -{signal} $(cat /run/systemctl-double/{name}.service.pid)")),
            Self::Job(name) => node.run(&format!("pkill -{signal} -u {name}")),
        };
    }
}

/// A node with the whole platform, announced, and an application on it.
struct Upstream {
    power: Power,
    server: Server,
    site: Site,
}

impl Upstream {
    fn up(extra: &str) -> Self {
        let site = Site::platform(extra);
        let server = Server::new(&site, &[]);
        let power = server.power_on();
        let (code, said) = power.ended();
        assert_eq!(code, 0, "{said}\n{}", site.which());
        if std::env::var_os("ANYMETAL_TELL").is_some() {
            eprintln!("{said}");
        }
        let node = Self { power, server, site };
        node.announced();
        node
    }

    /// Runs a line of shell on the node, which has to succeed.
    fn run(&self, line: &str) -> String {
        let output = self.power.command("sh").args(["-euc", line]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let wrong = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {said}{wrong}\n{}", self.status());
        said
    }

    /// Asks Nomad with the management token, in the platform's namespace.
    fn nomad(&self, method: &str, path: &str) -> String {
        self.nomad_with(method, path, &json!({}))
    }

    fn nomad_with(&self, method: &str, path: &str, body: &Value) -> String {
        let token = &self.site.secrets()["nomad_management"];
        fs::write(format!("/proc/{}/root/run/body.json", self.power.inner()), body.to_string()).unwrap();
        let data = if method == "GET" { "" } else { "-d @/run/body.json" };
        let ca = place::CA;
        self.run(&format!(
            "curl -sS --fail-with-body --retry 20 --retry-all-errors --retry-delay 1 --cacert {ca} -H 'X-Nomad-Token: {token}' -X {method} {data} \
             'https://127.0.0.1:4646{path}?namespace=platform'"
        ))
    }

    /// What the guard says of itself.
    fn status(&self) -> Value {
        let path = format!("/proc/{}/root{}", self.power.inner(), place::GUARD_STATUS);
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Value::Null)
    }

    /// Waits until the node is announced, and every proof holds.
    fn announced(&self) {
        let holds = || {
            let status = self.status();
            let proofs = status["proofs"].as_array().cloned().unwrap_or_default();
            status["stance"] == "announced" && !proofs.is_empty() && proofs.iter().all(|proof| proof["holds"] == true)
        };
        let is = wait::until(LIMIT, || holds() && self.server.neighbour.known().listed() == PREFIX);
        assert!(is, "the node is not announced: {}", self.status());
    }

    /// The words of all withdrawals by the guard so far.
    fn reasons(&self) -> Vec<String> {
        let events = fs::read_to_string(self.server.node.disk(place::GUARD_EVENTS)).unwrap_or_default();
        let events = events.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.filter(|event| event["reason"] == "proof-failed").map(|event| event["message"].to_string()).collect()
    }

    /// An application as Hippo makes them, behind Traefik by Consul's catalogue.
    fn application(&self) {
        let service = json!({"Name": "app", "PortLabel": "http", "Provider": "consul",
            "Tags": ["traefik.enable=true", "traefik.http.routers.app.rule=Host(`app.example.org`)", "traefik.http.routers.app.entryPoints=web"],
            "Checks": [{"Name": "alive", "Type": "tcp", "Interval": 10_000_000_000_i64, "Timeout": 2_000_000_000_i64}]});
        let task = json!({"Name": "app", "Driver": "raw_exec", "Resources": {"CPU": 50, "MemoryMB": 32},
            "Config": {"command": "/bin/sh", "args": ["-c", "mkdir -p www && echo well >www/index.html && exec busybox httpd -f -p $NOMAD_ADDR_http -h www"]}});
        let group = json!({"Name": "app", "EphemeralDisk": {"SizeMB": 110}, "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "Services": [service], "Tasks": [task]});
        let job = json!({"ID": "app", "Name": "app", "Namespace": "platform", "Type": "service", "Datacenters": ["dc1"], "TaskGroups": [group]});
        self.nomad_with("PUT", "/v1/jobs", &json!({"Job": job}));
        let answers = wait::until(LIMIT, || self.server.node.inside(|| visit("app.example.org")) == "200");
        assert!(answers, "the application does not answer: {}", self.server.node.inside(|| visit("app.example.org")));
    }
}

/// What somebody sees who visits this name: a status, or why there is none.
fn visit(name: &str) -> String {
    let visited = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("198.51.100.7", 80))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET / HTTP/1.0\r\nHost: {name}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split_whitespace().nth(1).unwrap_or("nothing").to_owned())
    };
    visited().unwrap_or_else(|error| format!("{:?}", error.kind()))
}

/// Ends the visits when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody who visits an application ten times a second, and what he sees that is not the application.
struct Visitor {
    over: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Visitor {
    fn visits<T>(node: &Upstream, work: impl FnOnce(&Self) -> T) -> T {
        let visitor = Self { over: Arc::default(), seen: Arc::default() };
        std::thread::scope(|scope| {
            let (over, seen, network) = (Arc::clone(&visitor.over), Arc::clone(&visitor.seen), &node.server.node);
            scope.spawn(move || {
                network.inside(|| {
                    while !over.load(Ordering::Relaxed) {
                        let answer = visit("app.example.org");
                        if answer != "200" {
                            seen.lock().unwrap().push(answer);
                        }
                        std::thread::sleep(Duration::from_millis(100));
                    }
                });
            });
            // A work that panics ends the visits too.
            let _over = Over(&visitor.over);
            work(&visitor)
        })
    }

    /// What there was since the last look, by kind: `404 x3`.
    fn take(&self) -> String {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let mut kinds = std::collections::BTreeMap::<String, usize>::new();
        for answer in seen {
            *kinds.entry(answer).or_default() += 1;
        }
        kinds.iter().map(|(answer, count)| format!("{answer} x{count}")).collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn a_nomad_that_loses_its_race_at_a_first_start_is_restarted_once_and_the_node_comes_up() {
    if !possible() {
        return;
    }
    // Without the restart the node would be unknown for 20 s, and the phase be over. A real Nomad reads no such file, and may lose by itself.
    let site = Site::platform("deadlines: {services: 18}");
    let server = Server::new(&site, &[]);
    server.node.write("/var/lib/nomad/ways.json", r#"{"registration_race": true, "bootstrap_race": 500}"#).unwrap();
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 0, "{said}");
    let restarts = said.matches("nomad.service waiting: restarted once: it has a leader").count();
    if site.which().contains("nomad 1.4.1 double") {
        assert_eq!(restarts, 1, "{said}");
        let nomad =
            fs::read_to_string(format!("/proc/{}/root/run/systemctl-double/nomad.service.log", power.inner())).unwrap();
        assert!(nomad.contains("keyring has not been initialized yet"), "the double won its race: {nomad}");
    }
}

#[test]
fn a_restart_in_order_withdraws_nothing_and_whoever_crashes_or_hangs_comes_back() {
    if !possible() {
        return;
    }
    let node = Upstream::up("");
    node.application();
    let mark = node.server.news().len();
    for component in [Component::Unit("nomad"), Component::Unit("anymetal-guard")] {
        Visitor::visits(&node, |visitor| {
            component.restart(&node);
            node.announced();
            assert_eq!(visitor.take(), "", "somebody saw the restart of {}", component.name());
        });
    }
    // Crashed, both are started again before the grace is over.
    for component in [Component::Unit("nomad"), Component::Job("hippo")] {
        component.signal(&node, "KILL");
        let seen = wait::until(LIMIT, || node.status()["proofs"].to_string().contains("false"));
        assert!(seen, "the guard has not seen that {} is away", component.name());
        node.announced();
    }
    assert_eq!(node.server.withdrawals(mark), 0, "{:?}", node.reasons());
    // Hanging, one is not away: nobody answers.
    let hung = Component::Job("bindle");
    hung.signal(&node, "STOP");
    let gone = wait::until(LIMIT, || node.server.withdrawals(mark) == 1);
    assert!(gone, "a Bindle that hangs costs nothing: {}", node.status());
    hung.signal(&node, "CONT");
    node.announced();
}

/// As many first starts of Nomad by init itself as `ANYMETAL_FIRST_STARTS` says: each of a Nomad without data, to a node that is ready.
#[test]
#[ignore = "takes minutes, and says something of real programs only: tests/platform-suites runs it"]
fn first_starts() {
    let node = Upstream::up("");
    let count = number("ANYMETAL_FIRST_STARTS", 20);
    let mut table = String::new();
    let mut slowest = Duration::ZERO;
    for start in 1..=count {
        let forget = "systemctl stop nomad; for user in traefik bindle hippo; do pkill -KILL -u $user || :; done; \
            cut -d' ' -f2 /proc/mounts | grep ^/var/lib/nomad/ | sort -r | while read -r m; do umount -l \"$m\"; done; rm -rf /var/lib/nomad/*";
        node.run(forget);
        let mut run =
            node.power.command(place::INIT).arg("run").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut began, mut restarted, mut took, mut said) = (None, false, None, String::new());
        for line in BufReader::new(run.stderr.take().unwrap()).lines().map_while(Result::ok) {
            writeln!(said, "{line}").unwrap();
            if line.contains("nomad.service: started") {
                began = Some(Instant::now());
            }
            restarted |= line.contains("nomad.service waiting: restarted once");
            if line.contains("nomad.service done: ready") {
                took = began.map(|began| began.elapsed());
                break;
            }
        }
        // It may be killed at any time. The pattern is not to find the shell that has it in its own words.
        node.run("pkill -KILL -f '[a]nymetal-init run' || :");
        run.wait().unwrap();
        let took = took.unwrap_or_else(|| panic!("Nomad was not ready:\n{said}\n{table}"));
        let by_race = if restarted { ", lost its race" } else { "" };
        let line = format!("first start {start:>2}: {:>5.1} s{by_race}", took.as_secs_f64());
        eprintln!("{line}");
        writeln!(table, "{line}").unwrap();
        slowest = slowest.max(took);
    }
    eprintln!("{}{table}slowest of {count}: {:.1} s of 10 s", node.site.which(), slowest.as_secs_f64());
    assert!(slowest <= Duration::from_secs(10), "a first start took {slowest:?}");
}

/// Each component restarted in order `ANYMETAL_RESTARTS` times: no withdrawal, and what visitors of an application saw.
#[test]
#[ignore = "takes an hour, and says something of real programs only: tests/platform-suites runs it"]
fn restarts_in_order() {
    let node = Upstream::up("");
    node.application();
    let count = number("ANYMETAL_RESTARTS", 50);
    let only = std::env::var("ANYMETAL_ONLY").unwrap_or_default();
    let mut table = String::new();
    let mut withdrawn = 0;
    for component in Component::ALL {
        // A restart of BIRD ends its sessions: what it costs is in the other table.
        if component.name() == "bird" || !(only.is_empty() || only.split(',').any(|name| name == component.name())) {
            continue;
        }
        let mark = node.server.news().len();
        let seen = Visitor::visits(&node, |visitor| {
            for _ in 0..count {
                component.restart(&node);
                // Whatever follows from it has a second to begin.
                std::thread::sleep(Duration::from_secs(1));
                node.announced();
            }
            visitor.take()
        });
        let of = node.server.withdrawals(mark);
        withdrawn += of;
        let line = format!(
            "{:<15} restarted {count} times: {of} withdrawals; visitors saw: {}",
            component.name(),
            or_nothing(&seen)
        );
        eprintln!("{line}");
        writeln!(table, "{line}").unwrap();
    }
    eprintln!("{}{table}", node.site.which());
    assert_eq!(withdrawn, 0, "{:#?}", node.reasons());
}

/// Each component restarted, killed and stopped once: withdrawn after, and back after.
#[test]
#[ignore = "takes minutes, and says something of real programs only: tests/platform-suites runs it"]
fn killed_and_stopped() {
    let node = Upstream::up("");
    node.application();
    let mut table =
        format!("{:<15} {:<8} {:>15} {:>8}   visitors of an application saw\n", "", "act", "withdrawn after", "back");
    for component in Component::ALL {
        for act in ["restart", "KILL", "STOP"] {
            let row = one_act(&node, component, act);
            eprintln!("{row}");
            writeln!(table, "{row}").unwrap();
        }
    }
    eprintln!("{}{table}{:#?}", node.site.which(), node.reasons());
}

fn one_act(node: &Upstream, component: Component, act: &str) -> String {
    node.announced();
    Visitor::visits(node, |visitor| {
        let mark = node.server.news().len();
        let at = Instant::now();
        match act {
            "restart" => component.restart(node),
            signal => component.signal(node, signal),
        }
        let gone = wait::until_some(CONSEQUENCE, || node.server.withdrawn_at(mark));
        let from = if act == "STOP" { Instant::now() } else { at };
        if act == "STOP" {
            // The watchdog may have ended it already.
            let line = match component {
                Component::Unit(name) => format!("kill -CONT $(cat /run/systemctl-double/{name}.service.pid) || :"),
                Component::Job(name) => format!("pkill -CONT -u {name} || :"),
            };
            node.run(&line);
        }
        node.announced();
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        let after = gone.map_or("never".to_owned(), |gone| seconds(gone.duration_since(at)));
        let back = gone.and_then(|_| node.server.announced_at(mark));
        let back = back.map_or("-".to_owned(), |back| seconds(back.saturating_duration_since(from)));
        format!("{:<15} {act:<8} {after:>15} {back:>8}   {}", component.name(), or_nothing(&visitor.take()))
    })
}

fn or_nothing(seen: &str) -> &str {
    if seen.is_empty() { "nothing of it" } else { seen }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
