//! Sessions that BIRD would take and that would never work, and prefixes that nobody will take.
//! May not hold documents: those lie in `tests/metadata`.
#![expect(clippy::disallowed_methods, reason = "documents are files, and BIRD is a program")]

use std::net::IpAddr;
use std::process::Command;

use anymetal_contract::plan::Arch;

use super::*;
use crate::facts::{Facts, make};
use crate::goldens;
use crate::metadata;
use crate::render::render;
use crate::secrets::Secrets;

fn machine(platform: &str, document: &str) -> Machine {
    let text = std::fs::read_to_string(goldens::documents().join(document)).unwrap();
    metadata::read(platform, &text).unwrap_or_else(|failure| panic!("{}", failure.chain()))
}

/// A session that works, and the route to it.
fn good() -> (Neighbour, Route) {
    let [address, source, via] = ["169.254.255.1", "10.66.142.17", "10.66.142.16"].map(|it| it.parse().unwrap());
    let neighbour = Neighbour {
        name: "edge_v4_1".into(),
        family: 4,
        address,
        asn: 65_530,
        local_asn: 65_000,
        source: Some(source),
        interface: None,
        multihop: 5,
        way: Way::Via(via),
        password: None,
    };
    (neighbour, Route { family: 4, prefix: IpNet::from(address), via })
}

/// What is said of the good session after a change.
fn said(change: impl FnOnce(&mut Neighbour)) -> String {
    let (mut neighbour, route) = good();
    change(&mut neighbour);
    judge(&[neighbour], &[route]).map_or_else(|failure| failure.chain(), |()| "nothing".into())
}

#[test]
fn each_session_that_cannot_work_is_named_with_what_to_do() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let session = "making facts: the session edge_v4_1 with";
    assert_eq!(said(|_| ()), "nothing");
    assert_eq!(
        said(|it| it.source = Some(ip("2001:db8::1"))),
        format!(
            "{session} 169.254.255.1 comes from 2001:db8::1 and has a channel for IPv4, so nothing would be spoken of: all three must be of one family"
        )
    );
    assert!(said(|it| it.family = 6).contains("has a channel for IPv6"));
    let itself = said(|it| it.address = it.source.unwrap());
    assert!(itself.starts_with(&format!("{session} 10.66.142.17 is with this machine itself: correct")), "{itself}");
    assert_eq!(
        said(|it| it.multihop = 1),
        format!(
            "{session} 169.254.255.1 is to be on the link, and is not on that of 10.66.142.17, so BIRD would wait for it for ever: set `bgp.multihop` in the site to the hops it may be away"
        )
    );
    assert_eq!(
        said(|it| it.way = Way::Untold),
        format!(
            "{session} 169.254.255.1 is 5 hops away, and nobody says who forwards to it: give the link of 10.66.142.17 a gateway, or remove `bgp.multihop` from the site if it is on the link"
        )
    );
    assert_eq!(
        said(|it| it.way = Way::Via(ip("fe80::1"))),
        format!(
            "{session} 169.254.255.1 goes by fe80::1, which only an interface leads to, so BIRD would have no route: name a gateway with an address of the link"
        )
    );
    assert_eq!(said(|it| it.way = Way::Default), "nothing", "the machine's own default route is a way");
    assert_eq!(said(|it| (it.way, it.multihop) = (Way::OnLink, 1)), "nothing");
    assert_eq!(said(|it| (it.way, it.multihop) = (Way::OnLink, 3)), "nothing", "more hops than needed do no harm");
    let six = |address: &str, source: Option<&str>, interface: Option<&str>, multihop| {
        let (address, source, interface) = (ip(address), source.map(ip), interface.map(str::to_owned));
        said(|it| {
            *it = Neighbour { family: 6, address, source, interface, multihop, way: Way::OnLink, ..it.clone() };
        })
    };
    assert_eq!(six("fe80::1", None, Some("eth0"), 1), "nothing");
    assert_eq!(six("fe80::1", Some("2001:db8::5"), Some("eth0"), 1), "nothing");
    for (address, source) in [("fe80::1", None), ("fe80::1", Some("fe80::5")), ("2001:db8::1", Some("fe80::5"))] {
        let said = six(address, source, None, 1);
        assert!(said.ends_with("is link-local, and nobody says on which interface: name it in the metadata"), "{said}");
    }
    let said_twice = six("2001:db8::1", Some("2001:db8::5"), Some("eth0"), 2);
    assert!(
        said_twice.contains("is bound to the interface eth0 and may be 2 hops away, which BIRD cannot do"),
        "{said_twice}"
    );
    for (password, fault) in
        [("", "that is empty"), ("hunter2\"", "with a double quote"), ("hunter2\u{1b}", "with a control")]
    {
        let said = said(|it| it.password = Some(Secret::new(password)));
        assert!(said.starts_with(&format!("{session} 169.254.255.1 has a password {fault}")), "{said}");
        assert!(said.ends_with(": agree on another one with the network") && !said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_route_that_is_missing_and_sessions_that_are_there_twice_are_named() {
    let (neighbour, route) = good();
    let chain = |neighbours: &[Neighbour], routes: &[Route]| judge(neighbours, routes).unwrap_err().chain();
    let missing = chain(std::slice::from_ref(&neighbour), &[]);
    assert!(missing.ends_with("goes by 10.66.142.16, and there is no route: report this"), "{missing}");
    let twice = chain(&[neighbour.clone(), neighbour.clone()], std::slice::from_ref(&route));
    assert_eq!(
        twice,
        "making facts: two sessions are named edge_v4_1: report this, the names are ours; two sessions are with 169.254.255.1: remove one of them"
    );
    let failure = judge(&[neighbour.clone(), neighbour], &[route]).unwrap_err();
    assert_eq!(failure.reason, Reason::BgpUnsound);
}

fn facts(machine: &Machine, multihop: Option<u8>) -> Result<Facts, Failure> {
    let mut plan = goldens::plan(vec![goldens::template("bird/bird.conf")]);
    plan.anycast.v4 = vec!["198.51.100.7/32".into()];
    plan.bgp.multihop = multihop;
    make(&plan, machine, &Secrets::default(), Arch::X86_64)
}

#[test]
fn the_sites_word_can_break_a_session_and_mend_one() {
    let several = machine("equinix-metal", "v4-multihop.json");
    let said = facts(&several, Some(1)).unwrap_err();
    assert_eq!(said.reason, Reason::BgpUnsound);
    assert!(said.chain().contains("edge_v4_1") && said.chain().contains("edge_v4_2"), "{}", said.chain());
    let mut contradictory = several;
    for neighbour in &mut contradictory.neighbours {
        neighbour.multihop = 1;
    }
    assert!(facts(&contradictory, None).is_err());
    assert!(facts(&contradictory, Some(4)).is_ok());
}

#[test]
fn bird_itself_takes_what_is_refused_here() {
    let machine = machine("equinix-metal", "v4-multihop.json");
    let file = goldens::template("bird/bird.conf");
    let folder = tempfile::tempdir().unwrap();
    let plain = render(&file, &facts(&machine, None).unwrap(), &Secrets::default()).unwrap();
    let long = format!("multihop 5; password \"{}\";", "k".repeat(99));
    for (name, text) in [
        ("to wait for a link that will not be", plain.replace("multihop 5;", "direct;")),
        ("without a channel", without_channels(&plain)),
        ("with a password of 99 bytes", plain.replace("multihop 5;", &long)),
        ("by a router that only an interface leads to", plain.replace("via 10.66.142.16", "via fe80::1")),
    ] {
        assert_ne!(text, plain, "{name}");
        let conf = folder.path().join("bird.conf");
        std::fs::write(&conf, &text).unwrap();
        let mut bird = Command::new("bird");
        // Debian keeps it in /usr/sbin, which is not on everybody's PATH.
        bird.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let output = bird.args(["-p", "-c"]).arg(&conf).output().unwrap();
        assert!(output.status.success(), "{name}: {}\n{text}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The sessions of a configuration without what they would speak of.
fn without_channels(text: &str) -> String {
    let (head, sessions) = text.split_once("protocol bgp").unwrap();
    let of_a_channel = ["  ipv4 {", "    import none;", "    export filter announce4;", "  };"];
    let lines = sessions.lines().filter(|line| !of_a_channel.contains(line));
    format!("{head}protocol bgp{}\n", lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn what_a_neighbour_will_not_accept_is_doubted_once_for_all_that_say_so() {
    let machine = |change: fn(&mut Machine)| {
        let mut machine = machine("equinix-metal", "v4-v6.json");
        change(&mut machine);
        machine
    };
    let mut plan = goldens::plan(vec![]);
    plan.anycast.v4 = vec!["198.51.100.7/32".into()];
    plan.anycast.v6 = vec!["2001:db8:45d1:fd80::7/128".into()];
    assert_eq!(doubts(&plan, &machine(|_| ())), [""; 0]);
    plan.anycast.v4 = vec!["198.51.100.0/24".into(), "198.51.100.7/32".into(), "203.0.113.0/24".into()];
    let all = "by the metadata 169.254.255.1 and 169.254.255.2 will not accept 198.51.100.0/24 and 203.0.113.0/24, only 198.51.100.7/32: \
               have the prefix assigned to the project, or take it out of the site";
    assert_eq!(doubts(&plan, &machine(|_| ())), [all]);
    let nothing = doubts(&plan, &machine(|machine| machine.neighbours[1].accepts = Some(vec![])));
    assert_eq!(nothing.len(), 2, "{nothing:?}");
    assert!(
        nothing[1].starts_with("by the metadata 169.254.255.2 will not accept 198.51.100.0/24 and 198.51.100.7/32 and"),
        "{nothing:?}"
    );
    assert!(nothing[1].contains(", nothing: "), "{nothing:?}");
    let untold = |machine: &mut Machine| machine.neighbours.iter_mut().for_each(|it| it.accepts = None);
    assert_eq!(doubts(&plan, &machine(untold)), [""; 0], "who says nothing is not doubted");
    let whole = |machine: &mut Machine| {
        for neighbour in machine.neighbours.iter_mut().filter(|it| it.family == Family::V6) {
            neighbour.accepts.as_mut().unwrap()[0].exact = true;
        }
    };
    assert!(
        doubts(&plan, &machine(whole))[1]
            .contains("will not accept 2001:db8:45d1:fd80::7/128, only 2001:db8:45d1:fd80::/57 whole")
    );
}
