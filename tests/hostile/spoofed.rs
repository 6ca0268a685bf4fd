//! A stranger on the public network who says that he is one of the private one.
//! May not need Nomad.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use anymetal_lab::namespace::Namespace;
use anymetal_lab::topology::GATEWAY4;

use crate::world::World;

/// The node's door for its peers, and a peer that is not on the link.
const DOOR: &str = "10.66.142.17:4655";
const PEER: &str = "10.66.142.40";
/// A limit against hanging, not a measure.
const LIMIT: Duration = Duration::from_secs(20);

/// A second cable of the node's, to somebody who has a peer's address as well as his own.
fn stranger(world: &World) -> Namespace {
    let node = &world.topology.node;
    let stranger = Namespace::new(node.name().replace("amnode", "amstranger")).unwrap();
    node.ip(&["link", "add", "node9", "type", "veth", "peer", "name", "far0", "netns", stranger.name()]).unwrap();
    for (network, port, address) in [(node, "node9", "203.0.113.2/30"), (&stranger, "far0", "203.0.113.1/30")] {
        network.ip(&["link", "set", port, "up"]).unwrap();
        network.ip(&["address", "add", address, "dev", port]).unwrap();
    }
    stranger.ip(&["address", "add", &format!("{PEER}/32"), "dev", "lo"]).unwrap();
    stranger.ip(&["route", "add", "10.66.142.16/31", "via", "203.0.113.2"]).unwrap();
    // As many distributions have it: whatever comes in is taken, whether its way back is the same or not.
    for key in ["all", "node9"] {
        node.inside(|| std::fs::write(format!("/proc/sys/net/ipv4/conf/{key}/rp_filter"), "0")).unwrap();
    }
    stranger
}

/// Sends from that address until it was heard, or until `enough` says so. Returns whether it was heard.
fn heard(network: &Namespace, from: &str, door: &UdpSocket, enough: impl Fn() -> bool) -> bool {
    let until = Instant::now() + LIMIT;
    let sender = network.inside(|| UdpSocket::bind((from, 0))).unwrap();
    loop {
        let _may_be_refused = sender.send_to(from.as_bytes(), DOOR);
        let mut said = [0; 64];
        while let Ok((length, _)) = door.recv_from(&mut said) {
            if &said[..length] == from.as_bytes() {
                return true;
            }
        }
        if enough() {
            return false;
        }
        assert!(Instant::now() < until, "{from} was neither heard nor counted");
    }
}

/// How many packets the rule against such sources has dropped.
fn dropped(world: &World) -> u64 {
    let mut list = Command::new("nsenter");
    list.arg(format!("--net=/run/netns/{}", world.topology.node.name()));
    list.args(["nft", "list", "table", "inet", "anymetal"]);
    list.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
    let rules = String::from_utf8(list.output().unwrap().stdout).unwrap();
    let rule = rules.lines().find(|line| line.contains("private sources by another way"));
    let rule = rule.unwrap_or_else(|| panic!("there is no such rule in\n{rules}"));
    rule.split("packets ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("a counter counts")
}

#[test]
fn a_private_source_that_comes_by_the_public_cable_is_nobody() {
    let Some(world) = World::new() else { return };
    let stranger = stranger(&world);
    let door = world.topology.node.inside(|| UdpSocket::bind(DOOR)).unwrap();
    door.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    // Without the rule he is heard, so that what follows can fail.
    world.firewall(|rules| {
        let without: Vec<_> = rules.lines().filter(|line| !line.contains("fib saddr")).collect();
        without.join("\n") + "\n"
    });
    assert!(heard(&stranger, PEER, &door, || false), "he is not heard even without the rule");
    world.firewall(str::to_owned);
    assert!(!heard(&stranger, PEER, &door, || dropped(&world) >= 3), "a made-up source got in");
    // Who really is on the private cable is heard as before.
    assert!(heard(&world.topology.edge, GATEWAY4, &door, || false));
    // Nor is he anybody by his own address.
    assert!(!heard(&stranger, "203.0.113.1", &door, {
        let tries = std::cell::Cell::new(0);
        move || tries.replace(tries.get() + 1) >= 5
    }));
}
