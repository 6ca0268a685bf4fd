//! The whole first boot on nodes without a machine: user-data as `anymetal build` wrote it, the shipped init, production paths, a real Consul,
//! a real bird, the simulated platform; systemd and cloud-init are doubles here, and real in `boot.rs`. Needs root for its namespaces.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite plays the world around the program")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anymetal::boot::lan;
use anymetal::boot::platform::{Config, Fault, Platform};
use anymetal_contract::{Event, Outcome, Phase, place};
use anymetal_lab::node::Node;
use anymetal_lab::{cloud_init, shipped};

/// What the simulated platform says the machine has.
const ADDRESSES: [&str; 3] = ["10.70.17.11/29", "203.0.113.11/29", "2001:db8:70:17:5054:ff:fe70:1712/64"];
/// No boot here takes longer; a limit against hanging, not a measure.
const LIMIT: Duration = Duration::from_secs(150);

/// How the digest of the demo's Consul begins.
const CONSUL: &str = "0f006ea94f06";

/// A site, its user-data, and the folders its platform serves.
struct Site {
    user_data: String,
    plan: String,
    origins: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Site {
    /// The demo's site, with `key: value` lines of the author's own at its end.
    fn with(extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let demo = fs::read_to_string(shipped::top().join("images/demo/site.yaml")).unwrap();
        let (site, out) = (folder.path().join("site.yaml"), folder.path().join("out"));
        fs::write(&site, format!("{demo}\n{extra}\n")).unwrap();
        let built = Command::new(env!("CARGO_BIN_EXE_anymetal"))
            .args(["build".as_ref(), site.as_os_str(), "-o".as_ref(), out.as_os_str()])
            .args(["--init".as_ref(), shipped::init("x86_64").as_os_str()])
            .args(["--init".as_ref(), shipped::init("aarch64").as_os_str()])
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let said = String::from_utf8(built.stdout).unwrap();
        let plan = said
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("plan sha256:"))
            .expect("the digest comes first")
            .to_owned();
        Self {
            user_data: fs::read_to_string(out.join("user-data")).unwrap(),
            plan,
            origins: vec![out, shipped::artefacts()],
            _folder: folder,
        }
    }

    fn demo() -> &'static Self {
        static DEMO: OnceLock<Site> = OnceLock::new();
        DEMO.get_or_init(|| Self::with(""))
    }
}

/// A node with its platform, as cloud-init left it.
struct Server {
    node: Node,
    platform: Platform,
    events: Receiver<Event>,
}

impl Server {
    fn new(site: &Site, faults: &[Fault]) -> Self {
        let node = Node::new(&ADDRESSES, "").unwrap();
        let (sender, events) = channel();
        let sender = Mutex::new(sender);
        let config = Config {
            user_data: Some(site.user_data.clone().into_bytes()),
            origins: site.origins.clone(),
            faults: faults.to_vec(),
            bgp_after: Duration::from_secs(1),
            ..Config::on_loopback()
        };
        let listen = Box::new(move |event| _ = sender.lock().expect("no panic holds it").send(event));
        let platform = node.inside(|| Platform::start(config, listen)).unwrap();
        let url = platform.url();
        node.cmdline(&format!(
            "{}={url} {}={url} {}={url}/report",
            place::ARG_METADATA,
            place::ARG_ORIGIN,
            place::ARG_REPORT
        ))
        .unwrap();
        node.write("/etc/hostname", lan::HOSTNAME).unwrap();
        for file in cloud_init::written(&site.user_data).unwrap() {
            node.write(&file.path, &file.content).unwrap();
            fs::set_permissions(node.disk(&file.path), fs::Permissions::from_mode(file.mode)).unwrap();
        }
        Self { node, platform, events }
    }

    /// Powers on: what anymetal.service does, and then the machine stays up.
    fn power_on(&self) -> Power {
        let service = format!("{} && {} run; echo \"exit code $?\"; exec tail -f /dev/null", place::FETCH, place::INIT);
        let mut child = self.node.start(&["sh", "-c", &format!("exec 2>&1; {service}")]).unwrap();
        let output = child.stdout.take().expect("the output is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Power { child, lines }
    }

    /// The first event of which this holds.
    fn event(&self, what: &str, holds: impl Fn(&Event) -> bool) -> Event {
        let until = Instant::now() + LIMIT;
        loop {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) if holds(&event) => return event,
                Ok(_) => {}
                Err(why) => panic!("no event {what} came: {why}\n{}", self.node.console()),
            }
        }
    }

    /// Every file the boot leaves that a second way to it must leave too, with mode and content.
    fn state(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut state = BTreeMap::new();
        for place in [place::OPT, "/etc", place::STORE] {
            collect(&self.node.disk(place), &mut state, &self.node.disk("/"));
        }
        state
    }
}

fn collect(folder: &Path, state: &mut BTreeMap<String, (u32, Vec<u8>)>, top: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let mode = entry.metadata().unwrap().permissions().mode();
        if kind.is_dir() {
            collect(&path, state, top);
        } else if kind.is_symlink() {
            state.insert(name, (mode, fs::read_link(&path).unwrap().to_string_lossy().into_owned().into_bytes()));
        } else if kind.is_file() {
            state.insert(name, (mode, fs::read(&path).unwrap()));
        }
    }
}

/// A node that is on.
struct Power {
    child: Child,
    lines: Receiver<String>,
}

impl Power {
    /// Everything said until `run` ended, and its exit code.
    fn ended(&self) -> (i32, String) {
        let (until, mut said) = (Instant::now() + LIMIT, String::new());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let line =
                self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("the boot did not end; it said\n{said}"));
            if let Some(code) = line.strip_prefix("exit code ") {
                return (code.parse().unwrap(), said);
            }
            said += &line;
            said.push('\n');
        }
    }

    /// The first line with these words.
    fn line(&self, words: &str) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            let line = self.lines.recv_timeout(until.saturating_duration_since(Instant::now()));
            match line {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(why) => panic!("nobody said {words}: {why}"),
            }
        }
    }

    /// The host's number of the node's first process.
    fn inner(&self) -> u32 {
        let outer = self.child.id();
        let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
        children.split_whitespace().next().expect("unshare has a child").parse().unwrap()
    }

    /// What `run` keeps for programs. The file is in the node's memory, below its first process's root.
    fn status(&self) -> serde_json::Value {
        let path = format!("/proc/{}/root{}", self.inner(), place::STATUS);
        serde_json::from_str(&fs::read_to_string(&path).unwrap_or_else(|e| panic!("reading {path}: {e}"))).unwrap()
    }

    fn cut(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Power {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Whether this suite can run; says so when it cannot.
fn possible() -> bool {
    Node::possible().map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

fn ask(node: &Node, port: u16, path: &str) -> String {
    node.inside(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim().to_owned()
    })
}

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
    let ends: Vec<_> = log.events.iter().filter(|e| e.ends_phase()).map(|e| (e.phase().unwrap(), e.outcome)).collect();
    for phase in Phase::ALL {
        let absent = matches!(phase, Phase::Jobs | Phase::Prove | Phase::Announce);
        let expected = if absent { Outcome::Absent } else { Outcome::Done };
        assert!(ends.contains(&(phase, expected)), "{phase}: {ends:?}");
    }
    let last = log.events.last().unwrap();
    assert_eq!(
        (last.phase(), last.plan.as_str(), last.node.as_str()),
        (Some(Phase::Settle), Site::demo().plan.as_str(), lan::HOSTNAME)
    );
    assert!(log.events.windows(2).all(|pair| pair[0].seq < pair[1].seq), "events came out of order");
    assert!(log.user_states.iter().any(|state| state.state == "succeeded"), "{:?}", log.user_states);
    let waited = log.events.iter().any(|e| e.phase() == Some(Phase::Metadata) && e.outcome == Outcome::Waiting);
    assert!(waited, "nobody was told that bgp_neighbors took a while");

    // What it says is so: a leader, in Consul's own words; the password of the sessions in bird's file and nowhere else.
    assert_eq!(ask(&server.node, 8500, "/v1/status/leader"), "\"10.70.17.11:8300\"");
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
    for (name, content) in &one {
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

/// Boots a site that cannot come up; gives what was said, and the failed event's reason.
fn fails(site: &Site, faults: &[Fault]) -> (String, String) {
    let server = Server::new(site, faults);
    let power = server.power_on();
    let (code, said) = power.ended();
    assert_eq!(code, 2, "{said}");
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
    assert!(said.contains("enable BGP on the project and create the BGP session"), "{said}");
    assert!(said.contains("4 s"), "the deadline is not named: {said}");
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
    assert_eq!(code, 2, "{said}");
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
    assert_eq!(whole, Vec::<String>::new(), "wrong bytes are in the store");
}

#[test]
fn a_wrong_init_never_becomes_executable() {
    if !possible() {
        return;
    }
    let site = Site::demo();
    let pin =
        site.user_data.lines().find_map(|line| line.strip_prefix("# init x86_64 sha256:")).expect("the pin is told");
    let server = Server::new(site, &[Fault::Corrupt(pin.to_owned())]);
    let power = server.power_on();
    // The stub says each thing twice: to its output, then to the console. It has said all of a round when it says that it goes on.
    let refused = power.line("wrong bytes");
    assert!(refused.contains(&server.platform.url()), "{refused}");
    power.line("round 1 of");
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
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("disk-full") || said.contains("free space"), "{said}");
    assert!(!server.node.disk(place::OPT).join("consul/current").exists(), "something half-done is in place");
    power.cut();
    fs::remove_file(filler).unwrap();
    let (code, said) = server.power_on().ended();
    assert_eq!(code, 0, "{said}");
}
