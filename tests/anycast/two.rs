//! Two nodes of one site and their router: what a node says of itself is true of itself, not of the other, and what is taken away from it
//! comes back before it costs anything.
//! May not look into the guard: what it says, what the neighbour hears and where packets go is all there is.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, SystemTime};

use anymetal_lab::bgp::{Daemon, Peer, Session};
use anymetal_lab::http::{Response, Server};
use anymetal_lab::systemd::Systemd;
use anymetal_lab::topology::{OTHER4, OTHER6, Topology};
use anymetal_lab::wait;
use anymetal_supply::probe::{Probe, Way};
use serde_json::{Value, json};

use crate::render::{SITE, Which};
use crate::watched::{FIREWALL_UNIT, GUARD, Node, Platform, Watched};
use crate::world::{LIMIT, PASSWORD, possible};

/// What must be on the loopback.
const ADDRESSES: [&str; 3] = ["198.51.100.6/32", "203.0.113.7/32", "2001:db8:45d1:fd80::7/128"];
/// Rounds so far apart that what is back sooner was not put back by one.
const SLOW: u64 = 5;
const BUS: &str = "[Unit]
DefaultDependencies=no
[Service]
Type=exec
ExecStartPre=/bin/mkdir -p /run/dbus
ExecStart=/usr/bin/dbus-daemon --system --address=unix:path=/run/dbus/system_bus_socket --nofork --nopidfile
";
/// As Debian's, but for what waits for a whole machine. Where it cannot write to /sys it does not wait for a udev, as in a container.
const NETWORKD: &str = "[Unit]
DefaultDependencies=no
Requires=dbus.service
After=dbus.service
[Service]
Type=notify
ExecStart=/lib/systemd/systemd-networkd
ReadOnlyPaths=/sys
Restart=on-failure
";

/// What is done, what is to be so before, and how it is done.
type Act<'a> = (&'a str, &'a dyn Fn(), &'a dyn Fn());

fn here() -> bool {
    possible() && Systemd::possible().map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

fn rules(interval: u64) -> Value {
    json!({"interval": interval, "fast_interval": 1, "timeout": 1, "rise": 2, "fall": 2, "grace": 0, "drain": 2, "metrics": 9469})
}

/// Both nodes. What comes first is dropped first.
struct Two {
    _other_peer: Peer,
    other: Node,
    node: Watched,
}

impl Two {
    /// Both announce, and the router sends what is for the site to the other.
    fn new(interval: u64, units: &[(&str, &str)]) -> Self {
        let topology = Topology::with_two_nodes().unwrap();
        let second = topology.other.as_ref().unwrap();
        let other = Node::start(second, Which::Second, &rules(interval), Platform::Well, &[]);
        let session = Session { which: 1, of_other: true, password: Some(PASSWORD.into()), announces: Vec::new() };
        let other_peer = Peer::start(&topology, Daemon::Bird, &session).unwrap();
        let node = Watched::on(topology, Daemon::GoBgp, &rules(interval), Platform::Well, units);
        node.established();
        let two = Self { _other_peer: other_peer, other, node };
        two.node.has(&SITE);
        two.node.stands("announced");
        two.other.stands("announced");
        let leads = || {
            let routes = two.routes();
            routes.iter().zip([OTHER4, OTHER6]).all(|(route, other)| route.contains(&format!("via {other} ")))
        };
        assert!(wait::until(LIMIT, leads), "the router does not lead to the other node: {:?}", two.routes());
        two
    }

    /// Where the router sends what is for the site.
    fn routes(&self) -> [String; 2] {
        ["198.51.100.6", "2001:db8:45d1:fd80::7"].map(|address| {
            let mut ip = self.node.topology.edge.command("ip");
            String::from_utf8(ip.args(["route", "get", address]).output().unwrap().stdout).unwrap()
        })
    }
}

/// Why a proof of this node must not be a packet that leaves it.
#[test]
fn a_request_within_a_machine_never_reaches_another_that_has_the_address_too() {
    if !possible() {
        return;
    }
    let topology = Topology::with_two_nodes().unwrap();
    let other = topology.other.as_ref().unwrap();
    for (address, via) in [("198.51.100.7", OTHER4), ("2001:db8:7::7", OTHER6)] {
        other.ip(&["address", "add", address, "dev", "lo"]).unwrap();
        topology.edge.ip(&["route", "add", address, "via", via]).unwrap();
    }
    let server = other.inside(|| Server::start_at("[::]:80", |_, _| Response::ok("the other")));
    let probe = Probe::new(Duration::from_secs(2));
    let ask = |address: &str, within| {
        let way = Way { at: Some(address), within, verify: false };
        topology.node.inside(|| probe.get("http://app.example.org/", way, 1024).answer.map(|answer| answer.body))
    };
    for address in ["198.51.100.7", "2001:db8:7::7"] {
        let mut last = None;
        let reaches = wait::until(LIMIT, || {
            last = Some(ask(address, false));
            matches!(&last, Some(Ok(body)) if body == b"the other")
        });
        assert!(reaches, "the way to the other node does not work, so this proves nothing: {last:?}");
        let asked = server.requests().len();
        ask(address, true).expect_err("the other node answered for this one");
        assert_eq!(server.requests().len(), asked, "a request left the machine");
    }
    let _own = topology.node.inside(|| Server::start_at("[::]:80", |_, _| Response::ok("this")));
    for address in ["198.51.100.7", "2001:db8:7::7"] {
        topology.node.ip(&["address", "add", address, "dev", "lo"]).unwrap();
        let answered = wait::until(LIMIT, || ask(address, true).is_ok_and(|body| body == b"this"));
        assert!(answered, "this node does not answer itself at {address}");
    }
}

/// Whatever takes the addresses away, they are back within a round, and the neighbour hears nothing of it, while the other node answers for
/// whoever asks the router.
#[test]
fn whatever_takes_an_address_away_it_is_back_within_a_round() {
    if !here() {
        return;
    }
    let two = Two::new(SLOW, &[("dbus.service", BUS), ("systemd-networkd.service", NETWORKD)]);
    let (node, mut table) = (&two.node, String::new());
    let file = node.systemd.path("/etc/systemd/network/10-lo.network");
    // systemd-networkd removes from the loopback what it has put there by a file that is gone, and leaves alone what was there before: so it has
    // put the addresses there, and the guard has found them.
    let networkd_has_put_them_there = || {
        node.systemd.systemctl(&["stop", GUARD]).unwrap();
        node.run("ip address flush dev lo scope global");
        let lines = ADDRESSES.map(|address| format!("Address={address}\n")).concat();
        fs::write(&file, format!("[Match]\nName=lo\n[Network]\n{lines}")).unwrap();
        node.run("networkctl reload");
        let there = || ADDRESSES.iter().all(|address| node.addresses().contains(address));
        assert!(wait::until(LIMIT, there), "{}", node.run("networkctl status lo --no-pager"));
        node.systemd.systemctl(&["start", GUARD]).unwrap();
        node.stands("announced");
        node.has(&SITE);
    };
    node.systemd.wait_active("systemd-networkd.service", LIMIT).unwrap();
    let nothing = || ();
    let acts: [Act<'_>; 6] = [
        ("ip address del, IPv4", &nothing, &|| drop(node.run("ip address del 203.0.113.7/32 dev lo"))),
        ("ip address del, IPv6", &nothing, &|| drop(node.run("ip address del 2001:db8:45d1:fd80::7/128 dev lo"))),
        ("ip address flush", &nothing, &|| drop(node.run("ip address flush dev lo scope global"))),
        ("ip route del of a net", &nothing, &|| {
            drop(node.run("ip route del local 198.51.100.6/31 dev lo table local"));
        }),
        ("networkctl reload", &networkd_has_put_them_there, &|| {
            fs::remove_file(&file).unwrap();
            node.run("networkctl reload");
        }),
        ("the loopback down and up", &nothing, &|| {
            node.run("ip link set lo down");
            node.run("ip link set lo up");
        }),
    ];
    for (what, prepare, act) in acts {
        prepare();
        let (mark, before, began) = (node.recorder.mark(), (rounds(node), restored(node)), SystemTime::now());
        act();
        let back = wait::until(LIMIT, || restored(node) > before.1 && whole(node));
        let took = began.elapsed().unwrap().as_secs_f64() * 1000.0;
        let route = node.run("ip route get 198.51.100.7");
        assert!(
            back,
            "{what}: not taken away, or not back: {} then {}\n{route}{}\n{}",
            before.1,
            restored(node),
            node.addresses(),
            node.systemd.output()
        );
        let between = rounds(node) - before.0;
        writeln!(table, "{what:<32} back after {took:>7.1} ms, {between} rounds of {SLOW} s later").unwrap();
        assert!(between <= 1, "{what}: it was back after {between} rounds");
        assert_eq!(node.updates(mark), [], "{what}: the neighbour was told");
        assert_eq!(node.status()["stance"], "announced", "{what}: {}", node.status());
    }
    let mark = node.recorder.mark();
    node.systemd.systemctl(&["restart", "systemd-networkd.service"]).unwrap();
    after_rounds(node, 1);
    assert!(whole(node), "a restart of systemd-networkd: {}", node.addresses());
    assert_eq!(node.updates(mark), [], "a restart of systemd-networkd: the neighbour was told");
    fs::write(format!("{}/addresses.txt", env!("CARGO_TARGET_TMPDIR")), &table).unwrap();
    eprint!("{table}");
}

/// How many rounds have ended.
fn rounds(node: &Node) -> u64 {
    let count = |result: &str| node.metric(&format!("rounds_total{{result=\"{result}\"}}")).unwrap_or(0);
    count("good") + count("bad")
}

fn restored(node: &Node) -> u64 {
    node.metric("addresses_restored_total").unwrap_or(0)
}

/// Whether every address is there, and the net leads to the node itself.
fn whole(node: &Node) -> bool {
    let addresses = node.addresses();
    ADDRESSES.iter().all(|address| addresses.contains(address))
        && node.run("ip route get 198.51.100.7").starts_with("local ")
}

/// An address that cannot be put back is a proof that fails, although the other node would answer.
#[test]
fn an_address_that_cannot_be_put_back_withdraws_the_node_and_is_named() {
    if !here() {
        return;
    }
    let two = Two::new(1, &[]);
    let node = &two.node;
    let mark = node.recorder.mark();
    // Goes before the kernel's own table, so the address is there and leads elsewhere.
    node.run("ip rule add pref 10 to 203.0.113.7/32 lookup main");
    node.run("ip rule add pref 20 lookup local");
    node.run("ip rule del pref 0");
    node.withdrawn(mark);
    let status = node.status();
    let why = status["why"].as_str().unwrap();
    assert!(why.starts_with("addresses has failed twice: 203.0.113.7 does not lead to this machine"), "{why}");
    assert_eq!(two.other.status()["stance"], "announced");
    node.run("ip rule add pref 0 lookup local");
    node.has(&SITE);
}

/// The firewall is a link of the chain: what is gone is put in force again, and what cannot be withdraws the node.
#[test]
fn without_its_firewall_a_node_does_not_stay_announced() {
    if !here() {
        return;
    }
    let node = Watched::new(Daemon::GoBgp, &rules(1), Platform::Well);
    node.established();
    node.has(&SITE);
    let is_there = || !node.run("nft list tables").is_empty();
    assert!(is_there());
    let main = node.systemd.main_pid(GUARD).unwrap();
    // What empties every table, as the distribution's own unit does, is put right before it costs the announcement.
    let mark = node.recorder.mark();
    let acts = [
        "nft flush ruleset",
        "nft flush chain inet anymetal input",
        "nft flush chain inet anymetal metadata",
        "nft delete table inet anymetal",
    ];
    for act in acts {
        let before = node.metric("proof_failures_total{proof=\"firewall\"}").unwrap_or(0);
        node.run(act);
        let back = || node.metric("proof_failures_total{proof=\"firewall\"}").unwrap_or(0) > before && holds(&node);
        assert!(wait::until(LIMIT, back), "{act}: {}\n{}", node.status(), node.run("nft list ruleset"));
    }
    assert_eq!(node.updates(mark), [], "the neighbour was told");
    // A change of the firewall that is loaded before the guard is told, or after it, costs nothing.
    let file = node.systemd.path("/etc/anymetal/firewall/anymetal.nft");
    let text = fs::read_to_string(&file).unwrap();
    let generation = text.split("generation ").nth(1).unwrap().split('"').next().unwrap();
    fs::write(&file, text.replace(generation, "0123456789abcdef")).unwrap();
    after_rounds(&node, 2);
    node.systemd.systemctl(&["reload", FIREWALL_UNIT]).unwrap();
    after_rounds(&node, 2);
    assert_eq!(node.updates(mark), [], "the neighbour was told");
    assert_eq!(node.systemd.main_pid(GUARD).unwrap(), main, "a reload of the firewall restarted the guard");
    // A file that nft does not take: withdrawn after `fall` rounds, with the reason.
    fs::write(&file, "nonsense\n").unwrap();
    let mark = node.recorder.mark();
    node.run("nft flush ruleset");
    node.withdrawn(mark);
    let status = node.status();
    let why = status["why"].as_str().unwrap();
    let says = why.starts_with(
        "firewall has failed twice: the table inet anymetal is not there; putting it in force again: nft does not take",
    );
    assert!(says, "{why}");
    fs::write(&file, &text).unwrap();
    node.has(&SITE);
    // Who wants it open says so, and is left alone.
    fs::write(node.systemd.path("/etc/anymetal/maintenance"), "").unwrap();
    node.stands("maintenance");
    node.run("nft delete table inet anymetal");
    after_rounds(&node, 2);
    assert!(!is_there(), "the table came back although the node is under maintenance");
    fs::remove_file(node.systemd.path("/etc/anymetal/maintenance")).unwrap();
    node.has(&SITE);
    assert!(is_there());
}

/// What needs the firewall does not start without it.
#[test]
fn a_firewall_that_does_not_load_keeps_the_guard_from_starting() {
    if !here() {
        return;
    }
    let node = Watched::new(Daemon::GoBgp, &rules(1), Platform::Well);
    node.systemd.wait_active(GUARD, LIMIT).unwrap();
    let stopped = node.systemd.systemctl(&["stop", FIREWALL_UNIT]).unwrap_err();
    assert!(format!("{stopped:#}").contains("refused"), "{stopped:#}");
    node.systemd.systemctl(&["stop", GUARD]).unwrap();
    fs::write(node.systemd.path("/etc/anymetal/firewall/anymetal.nft"), "nonsense\n").unwrap();
    // A machine that starts: the firewall is not in force yet.
    let unit = node.systemd.path("/run/systemd/system/anymetal-firewall.service");
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("RefuseManualStop=yes\n", "")).unwrap();
    node.systemd.systemctl(&["daemon-reload"]).unwrap();
    node.systemd.systemctl(&["stop", FIREWALL_UNIT]).unwrap();
    node.systemd.systemctl(&["start", GUARD]).unwrap_err();
    assert_eq!(node.systemd.property(FIREWALL_UNIT, "ActiveState").unwrap(), "failed");
    assert_ne!(node.systemd.property(GUARD, "ActiveState").unwrap(), "active");
}

fn holds(node: &Node) -> bool {
    node.metric("proof_holds{proof=\"firewall\"}") == Some(1)
}

fn after_rounds(node: &Node, count: u64) {
    let before = rounds(node);
    assert!(wait::until(LIMIT, || rounds(node) >= before + count), "there are no rounds: {}", node.status());
}
