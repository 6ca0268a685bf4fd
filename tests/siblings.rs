//! The shipped `anymetal-init` on several nodes of one switch: each blob comes from outside once, whoever boots when, and whatever a sibling does.
//! May not look into the program: the origin's requests, the nodes' stores and what they say are all there is. Needs root for its networks.
#![expect(clippy::disallowed_methods, reason = "a suite prepares and reads files and runs the program under test")]
#![expect(clippy::unwrap_used, reason = "a suite stops where something is not as it should be")]

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anymetal_contract::{Digest, Event, place};
use anymetal_lab::archive::{noise, sha256};
use anymetal_lab::http::{Response, Server};
use anymetal_lab::switch::Switch;
use anymetal_lab::systemd::Systemd;
use anymetal_lab::wait;
use serde_json::json;

/// Where the origin is, and the nodes after it.
const LAN: [&str; 5] = ["10.70.17.1/24", "10.70.17.11/24", "10.70.17.12/24", "10.70.17.13/24", "10.70.17.14/24"];
const LIMIT: Duration = Duration::from_mins(1);
/// One metro at a time: who answers within a second decides who fetches, and two cores carry four nodes, not twenty.
static TURN: Mutex<()> = Mutex::new(());

/// A switch, an origin that takes its time, and blobs that nodes want of it.
struct Metro {
    _turn: MutexGuard<'static, ()>,
    origin: Option<Server>,
    switch: Switch,
    blobs: Arc<Vec<Vec<u8>>>,
}

impl Metro {
    /// `None` where this process may not make networks, which is said.
    fn new(blobs: usize) -> Option<Self> {
        if let Err(why) = Switch::possible() {
            eprintln!("skipped: {why}");
            return None;
        }
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let switch = Switch::new(&LAN).unwrap();
        let blobs: Arc<Vec<Vec<u8>>> = Arc::new((0..blobs).map(|seed| noise(300_000, 70 + seed as u64)).collect());
        let origin = switch.machine(0).inside(|| {
            let blobs = Arc::clone(&blobs);
            Server::start_at("10.70.17.1:0", move |request, _| {
                let blob = blobs.iter().find(|blob| request.path.ends_with(sha256(blob).as_str()));
                let mut response = blob.map_or_else(Response::not_found, |blob| Response::file(request, blob));
                response.pace = Some(Duration::from_millis(30));
                response
            })
        });
        Some(Self { _turn: turn, origin: Some(origin), switch, blobs })
    }

    fn origin(&self) -> &Server {
        self.origin.as_ref().expect("it goes with the metro")
    }

    /// A node with its plan, not yet booted.
    fn node(&self, place: usize) -> Node<'_> {
        let node = Node { metro: self, place, root: tempfile::tempdir().unwrap() };
        let components: Vec<_> = self
            .blobs
            .iter()
            .enumerate()
            .map(|(number, blob)| {
                let artefact = json!({"sha256": sha256(blob), "size": blob.len(), "format": "zip", "members": [], "urls": []});
                json!({"name": format!("c{number}"), "version": "1", "source": {"artefacts": {"x86_64": artefact, "aarch64": artefact}}})
            })
            .collect();
        let plan = json!({
            "kind": "anymetal.plan", "version": 1, "site": "demo", "platform": "file", "os": "debian-12",
            "domain": "example.org", "anycast": {"v4": [], "v6": []}, "bgp": {}, "phases": ["metadata", "acquire"],
            "origins": [self.origin().url()], "components": components, "files": [], "services": [], "jobs": [],
            "deadlines": {"settle": 2}, "reports": [],
            "settings": {"hippo": {"registration": "Closed", "administrator": "a"}, "tls": {"mode": "none"},
                "firewall": {"ssh4": [], "ssh6": [], "tcp": [], "udp": []}}
        });
        let machine = json!({
            "kind": "anymetal.machine", "version": 1, "hostname": format!("n{place}"),
            "addresses": {"private4": {"address": LAN[place]}}
        });
        for (path, text) in [
            ("/etc/machine-id", format!("{place:032x}\n")),
            ("/proc/sys/kernel/hostname", format!("n{place}\n")),
            ("/proc/cmdline", "quiet\n".to_owned()),
            (place::PLAN, plan.to_string()),
            (place::MACHINE, machine.to_string()),
        ] {
            fs::create_dir_all(node.at(path).parent().unwrap()).unwrap();
            fs::write(node.at(path), text).unwrap();
        }
        node
    }

    /// How often each blob was asked for outside.
    fn fetched(&self) -> Vec<usize> {
        let requests = self.origin().requests();
        let times =
            |blob: &Vec<u8>| requests.iter().filter(|request| request.path.ends_with(sha256(blob).as_str())).count();
        self.blobs.iter().map(times).collect()
    }
}

impl Drop for Metro {
    fn drop(&mut self) {
        // A server's end is told to it through its own network.
        let origin = self.origin.take();
        self.switch.machine(0).inside(move || drop(origin));
    }
}

struct Node<'m> {
    metro: &'m Metro,
    place: usize,
    root: tempfile::TempDir,
}

/// A program on a node; killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        self.0.wait().unwrap();
    }
}

impl Node<'_> {
    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let program = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
        let mut command = self.metro.switch.machine(self.place).command(Path::new(&program).to_str().unwrap());
        command.args(arguments).arg("--root").arg(self.root.path());
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// What systemd does: the unit gives on where the run has ended.
    fn boot_and_share(&self) -> Running {
        const SCRIPT: &str = r#""$0" run --backoff-cap-ms 50 --root "$1"; echo $? >"$1/code"; exec "$0" share --address "$2" --root "$1""#;
        let program = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
        let mut command = self.metro.switch.machine(self.place).command("sh");
        command.args(["-c", SCRIPT]).arg(program).arg(self.root.path()).arg(LAN[self.place]);
        Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Its run has ended well.
    fn has_booted(&self) {
        let code =
            wait::until_some(LIMIT, || fs::read_to_string(self.at("/code")).ok().filter(|code| code.ends_with('\n')));
        assert_eq!(code.as_deref(), Some("0\n"), "{}", self.said());
        self.has_all();
    }

    fn boot(&self) -> Running {
        self.start(&["run", "--backoff-cap-ms", "50"])
    }

    /// It comes up, with every blob as it should be.
    fn is_up(&self, mut running: Running) {
        let mut code = None;
        assert!(
            wait::until(LIMIT, || {
                code = running.0.try_wait().unwrap();
                code.is_some()
            }),
            "it did not end\n{}",
            self.said()
        );
        assert_eq!(code.and_then(|status| status.code()), Some(0), "{}", self.said());
        self.has_all();
    }

    fn has_all(&self) {
        for blob in self.metro.blobs.iter() {
            let kept = fs::read(self.at(place::STORE).join(sha256(blob).as_str())).unwrap();
            assert!(kept == *blob, "node {} has other bytes", self.place);
        }
    }

    fn said(&self) -> String {
        let events = fs::read_to_string(self.at(place::EVENTS)).unwrap_or_default();
        let line = |line: &str| serde_json::from_str::<Event>(line).unwrap().message + "\n";
        events.lines().map(line).collect()
    }
}

#[test]
fn nodes_that_boot_at_once_fetch_each_blob_once_between_them() {
    let Some(metro) = Metro::new(12) else { return };
    let nodes: Vec<Node> = (1..=4).map(|place| metro.node(place)).collect();
    let _running: Vec<Running> = nodes.iter().map(Node::boot_and_share).collect();
    for node in &nodes {
        node.has_booted();
    }
    let all: String = nodes.iter().map(Node::said).collect();
    assert_eq!(metro.fetched(), vec![1; 12], "{all}");
    let mut from = BTreeMap::new();
    for line in all.lines().filter(|line| line.starts_with('c') && line.contains(" from ")) {
        let (_, whence) = line.split_once(" from ").unwrap();
        *from.entry(whence.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(from.get("sibling"), Some(&36), "four nodes want twelve, and twelve came from outside: {from:?}\n{all}");
    assert!(all.contains("300.0 kB from sibling 10.70.17.1"), "{all}");
}

#[test]
fn a_node_that_boots_later_takes_everything_from_one_that_is_up() {
    let Some(metro) = Metro::new(3) else { return };
    let (first, later) = (metro.node(1), metro.node(2));
    first.is_up(first.boot());
    assert_eq!(metro.fetched(), [1, 1, 1]);
    let _unit = first.start(&["share", "--address", LAN[1]]);
    later.is_up(later.boot());
    assert_eq!(metro.fetched(), [1, 1, 1], "{}", later.said());
    assert!(later.said().contains("3 artefacts, 900.0 kB from sibling 10.70.17.11"), "{}", later.said());
}

/// A double of a sibling.
struct Double<'m> {
    metro: &'m Metro,
    server: Option<Server>,
}

impl Drop for Double<'_> {
    fn drop(&mut self) {
        let server = self.server.take();
        self.metro.switch.machine(4).inside(move || drop(server));
    }
}

impl Double<'_> {
    fn asked(&self) -> usize {
        self.server.as_ref().map_or(0, |server| server.requests().len())
    }
}

/// One that says this of every blob it is asked for, the byte of a state, and gives what it is told.
fn double(metro: &Metro, state: u8, give: impl Fn(&[u8]) -> Response + Send + Sync + 'static) -> Double<'_> {
    let blobs = Arc::clone(&metro.blobs);
    let server = metro.switch.machine(4).inside(move || {
        let (all, own) = (UdpSocket::bind("10.70.17.255:4655").unwrap(), UdpSocket::bind("10.70.17.14:4655").unwrap());
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = all.recv_from(&mut buffer) {
                let answer = &mut buffer[..length];
                answer[6] = 0;
                answer[8..].chunks_mut(41).for_each(|entry| entry[32] = state);
                let _gone = own.send_to(answer, from);
            }
        });
        Server::start_at("10.70.17.14:4655", move |request, _| {
            let blob = blobs.iter().find(|blob| request.path.ends_with(sha256(blob).as_str()));
            blob.map_or_else(Response::not_found, |blob| give(blob))
        })
    });
    Double { metro, server: Some(server) }
}

#[test]
fn a_sibling_that_lies_is_found_out_and_asked_no_more() {
    let Some(metro) = Metro::new(6) else { return };
    let liar = double(&metro, 2, |blob| Response::ok(vec![7; blob.len()]));
    let node = metro.node(1);
    node.is_up(node.boot());
    assert_eq!(metro.fetched(), [1; 6], "{}", node.said());
    assert!(
        node.said().contains("gave other bytes (sha256 ") && node.said().contains("; it is not asked again"),
        "{}",
        node.said()
    );
    // Those that were under way at once may all have been lied to.
    assert!((1..=4).contains(&liar.asked()), "it was asked {} times", liar.asked());
}

#[test]
fn a_sibling_that_stalls_or_breaks_off_costs_time_and_nothing_else() {
    for (cut, stall) in [(Some(100_000), None), (None, Some(100_000))] {
        let Some(metro) = Metro::new(2) else { return };
        let _double =
            double(&metro, 2, move |blob| Response { cut_after: cut, stall_after: stall, ..Response::ok(blob) });
        let node = metro.node(1);
        node.is_up(node.boot());
        assert!(metro.fetched().iter().all(|times| *times == 1), "{:?}\n{}", metro.fetched(), node.said());
    }
}

#[test]
fn a_sibling_that_promises_and_does_not_deliver_is_not_waited_for_for_ever() {
    let Some(metro) = Metro::new(2) else { return };
    let double = double(&metro, 1, |_| Response::not_found());
    let node = metro.node(1);
    node.is_up(node.boot());
    assert_eq!(metro.fetched(), [1; 2], "{}", node.said());
    assert_eq!(double.asked(), 0, "it never said that it has anything");
}

/// One machine with as many addresses as it likes: each says that it has everything, takes the question and gives nothing.
#[test]
fn thirty_that_take_questions_and_give_nothing_do_not_keep_a_node_from_the_origin() {
    let Some(metro) = Metro::new(8) else { return };
    let machine = metro.switch.machine(4);
    let addresses: Vec<String> = (101..131).map(|last| format!("10.70.17.{last}")).collect();
    for address in &addresses {
        let added =
            machine.command("ip").args(["addr", "add", &format!("{address}/24"), "dev"]).arg(device(&metro)).status();
        assert!(added.unwrap().success(), "{address} could not be added");
    }
    let _taken = machine.inside(|| {
        let all = UdpSocket::bind("10.70.17.255:4655").unwrap();
        let own: Vec<UdpSocket> =
            addresses.iter().map(|address| UdpSocket::bind(format!("{address}:4655")).unwrap()).collect();
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = all.recv_from(&mut buffer) {
                let answer = &mut buffer[..length];
                answer[6] = 0;
                answer[8..].chunks_mut(41).for_each(|entry| entry[32] = 2);
                for socket in &own {
                    let _gone = socket.send_to(answer, from);
                }
            }
        });
        // The backlog takes connections; nobody ever reads them.
        std::net::TcpListener::bind("0.0.0.0:4655").unwrap()
    });
    let node = metro.node(1);
    node.is_up(node.boot());
    assert_eq!(metro.fetched(), [1; 8], "{}", node.said());
    assert!(node.said().contains("; it is not asked again") || node.said().contains(" beside it"), "{}", node.said());
}

/// The name of the interface of the machine that plays others.
fn device(metro: &Metro) -> String {
    let shown =
        metro.switch.machine(4).command("ip").args(["-o", "-4", "addr", "show", "to", LAN[4]]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let name = shown.split_whitespace().nth(1).unwrap_or_else(|| panic!("no interface in {shown:?}"));
    name.split('@').next().unwrap().to_owned()
}

/// The unit as it is shipped, under a real systemd: it gives what is in the store as a user of its own, which can read nothing else of the node.
#[test]
fn the_unit_gives_blobs_as_a_user_that_sees_the_store_and_nothing_else_of_the_node() {
    let Some(metro) = Metro::new(1) else { return };
    let node = metro.node(1);
    node.is_up(node.boot());
    fs::create_dir_all(node.at("/etc/anymetal")).unwrap();
    fs::write(node.at("/etc/anymetal/secrets.json"), "{}").unwrap();
    fs::set_permissions(node.at("/etc/anymetal/secrets.json"), PermissionsExt::from_mode(0o644)).unwrap();
    // As init does before it starts the unit; what is in there is not touched.
    fs::set_permissions(node.at(place::STORE), PermissionsExt::from_mode(0o755)).unwrap();
    let program = std::env::var_os("ANYMETAL_INIT").unwrap_or_else(|| env!("CARGO_BIN_EXE_anymetal-init").into());
    let unit = include_str!("../templates/host/anymetal-share.service")
        .replace("ADDRESS", LAN[1])
        // The lab's systemd has no targets of a boot.
        .replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n");
    let systemd = Systemd::new()
        .unit("anymetal-share.service", &unit)
        .fresh("/var/lib")
        .fresh("/opt")
        .fresh("/etc/anymetal")
        .bind(node.at("/var/lib/anymetal"), "/var/lib/anymetal")
        .bind(node.at("/etc/anymetal"), "/etc/anymetal")
        .bind(Path::new(&program), place::INIT)
        .start(metro.switch.machine(1), &["anymetal-share.service"])
        .unwrap();
    systemd.wait_active("anymetal-share.service", LIMIT).unwrap();
    let url = format!("http://10.70.17.11:4655/sha256/{}", sha256(&metro.blobs[0]));
    let given = || {
        let mut curl = metro.switch.machine(2).command("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"]).arg(&url);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    assert!(wait::until(LIMIT, || given() == "200 300000"), "{}\n{}", given(), systemd.output());
    let id = systemd.main_pid("anymetal-share.service").unwrap();
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(!line("Uid:").contains("\t0\t") && line("CapEff:").ends_with("\t0000000000000000"), "{status}");
    let sees = |path: &str| fs::metadata(format!("/proc/{id}/root{path}")).is_ok();
    assert!(sees(place::STORE) && !sees("/var/lib/anymetal/ledger.json") && !sees("/etc/anymetal/secrets.json"));
}

#[test]
fn when_the_one_that_fetches_dies_another_takes_over() {
    let Some(metro) = Metro::new(6) else { return };
    let nodes = [metro.node(1), metro.node(2), metro.node(3)];
    let first = nodes[0].boot();
    let _others = [nodes[1].boot_and_share(), nodes[2].boot_and_share()];
    assert!(wait::until(LIMIT, || !metro.origin().requests().is_empty()), "nobody asked the origin");
    // It has begun something, perhaps; whatever it promised, the others go on without it.
    drop(first);
    for node in &nodes[1..] {
        node.has_booted();
    }
    let asked = metro.fetched();
    assert!(asked.iter().all(|times| (1..=2).contains(times)), "{asked:?}\n{}\n{}", nodes[1].said(), nodes[2].said());
    let again = nodes[0].boot();
    nodes[0].is_up(again);
}

/// The digest's text is what a path has; anything else is nothing.
#[test]
fn nothing_but_whole_blobs_is_given() {
    let Some(metro) = Metro::new(1) else { return };
    let node = metro.node(1);
    node.is_up(node.boot());
    let blob: Digest = sha256(&metro.blobs[0]);
    fs::write(node.at(place::STORE).join(format!("{}.part", Digest::of([9; 32]))), "half").unwrap();
    let _unit = node.start(&["share", "--address", LAN[1]]);
    let ask = |path: &str, more: &[&str]| {
        let url = format!("http://10.70.17.11:4655{path}");
        let mut curl = metro.switch.machine(2).command("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download}", "--path-as-is"]).args(more).arg(url);
        String::from_utf8(curl.output().unwrap().stdout).unwrap()
    };
    let whole = format!("/sha256/{blob}");
    assert!(wait::until(LIMIT, || ask(&whole, &[]) == "200 300000"), "{}", ask(&whole, &[]));
    for (path, more, answer) in [
        (whole.as_str(), &["-H", "Range: bytes=299990-"][..], "206 10"),
        (&whole, &["-H", "Range: bytes=300000-"], "416 0"),
        (&whole, &["-I"], "200 0"),
        (&whole, &["-X", "POST"], "400 0"),
        (&format!("/sha256/{}", Digest::of([9; 32])), &[], "404 0"),
        (&format!("/sha256/{}.part", Digest::of([9; 32])), &[], "400 0"),
        ("/sha256/", &[], "400 0"),
        ("/", &[], "400 0"),
        ("/sha256/../ledger.json", &[], "400 0"),
        ("/sha256/../../../etc/passwd", &[], "400 0"),
        (&whole.to_uppercase(), &[], "400 0"),
    ] {
        assert_eq!(ask(path, more), answer, "{path} {more:?}");
    }
}
