//! The hostile tenant: native code as a real task of Nomad's driver `exec`, with the very files a node has. It tries what an application that
//! got out of WebAssembly would, and must get nothing; without these files it gets nearly all, so that the suite can fail.
//! Nomad is a double unless `ANYMETAL_REAL_NOMAD` names a program; nft, the network and the kernel are real. Needs root for its namespaces.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a suite plays the world around the program")]

mod nomad;
mod routers;
mod spoofed;
mod world;

use anymetal_lab::tenant::{FILES, Heard, PORTS, TRICKS};
use nomad::Nomad;
use world::{PUBLIC, World};

/// What a tenant must not get: each of these is answered, or free, as long as nothing keeps it from there.
const TARGETS: &[&str] = &[
    // The metadata: by IPv4, by IPv6, by name.
    "get=169.254.169.254:80/metadata",
    "get=[fd00:ec2::254]:80/latest/meta-data",
    "get=metadata.test:80/metadata",
    // The platform's own services, and their clusters' ports, on the loopback and at the node's other addresses.
    "connect=127.0.0.1:4646",
    "connect=127.0.0.1:4647",
    "connect=127.0.0.1:8300",
    "connect=127.0.0.1:8500",
    "connect=127.0.0.1:8501",
    "connect=127.0.0.1:5309",
    "connect=127.0.0.1:8081",
    "connect=127.0.0.1:9469",
    "connect=10.66.142.17:4647",
    "connect=10.66.142.17:4655",
    "connect=198.51.100.7:8443",
    "connect=[::1]:8500",
    "udp=127.0.0.1:8301",
    // Another tenant, who listens where Nomad told him to.
    "connect=127.0.0.1:25000",
    "connect=10.66.142.17:25000",
    "connect=[::1]:25000",
    // The private network, and the neighbours.
    "connect=10.66.142.16:8500",
    "connect=169.254.255.1:179",
    "connect=[fc00::e]:179",
    "udp=10.66.142.16:53",
];

/// What it may.
const ALLOWED: &[&str] = &[
    "connect=127.0.0.1:3030",
    "connect=127.0.0.53:53",
    "connect=198.51.100.7:80",
    "connect=192.0.2.99:443",
    "connect=[2001:db8:99::1]:443",
    "bind=127.0.0.1:20001",
];

fn words<'a>(groups: &[&[&'a str]]) -> Vec<&'a str> {
    groups.concat()
}

#[test]
fn a_hostile_tenant_gets_nothing_but_what_it_may() {
    let Some(world) = World::new() else { return };
    world.firewall(str::to_owned);
    world.sysctl();
    let nomad = Nomad::start(&world, |_| ());
    // Its kernel's attempts come last: what it could change there would be seen in none of the others.
    let log = nomad.run("hostile", &words(&[&["self", "become-root"], TARGETS, ALLOWED, PORTS, FILES, &TRICKS[1..]]));
    println!("{}\n{log}", nomad.which());
    let heard = Heard::of(&log);
    heard.is_nobody_with_nothing();
    heard.all(words(&[TARGETS, PORTS, FILES]), false);
    heard.all(ALLOWED.iter().copied(), true);
    let known = words(&[TARGETS, ALLOWED, PORTS, FILES]);
    heard.no_trick_worked(&known);
}

/// Each of the two ways by which the firewall knows a tenant is enough: what becomes root is still in its cgroup, and what were to get out of
/// the cgroup is still nobody.
#[test]
fn the_cgroup_alone_and_the_user_alone_keep_it_in() {
    let Some(world) = World::new() else { return };
    world.sysctl();
    let nomad = Nomad::start(&world, |_| ());
    for (layer, without) in [("by cgroup alone", "meta skuid"), ("by user alone", "socket cgroupv2")] {
        let jumps = |line: &&str| line.trim_start().starts_with(without) && line.contains("jump");
        world.firewall(|rules| {
            assert!(rules.lines().any(|line| jumps(&line)), "no rule begins with {without}");
            rules.lines().filter(|line| !jumps(line)).collect::<Vec<_>>().join("\n") + "\n"
        });
        let heard = Heard::of(&nomad.run(&without.replace(' ', "-"), &words(&[TARGETS, ALLOWED])));
        println!("{layer}: {} attempts", heard.len());
        heard.all(TARGETS.iter().copied(), false);
        heard.all(ALLOWED.iter().copied(), true);
    }
}

/// The control: with Nomad's defaults and without the firewall it gets all of that, root's rights first.
#[test]
fn without_the_box_a_tenant_gets_it() {
    let Some(world) = World::new() else { return };
    let nomad = Nomad::start(&world, |config| {
        config["plugin"].as_array_mut().unwrap().retain(|plugin| plugin.get("exec").is_none());
    });
    let open: Vec<_> = TARGETS.iter().copied().chain(ALLOWED.iter().copied()).collect();
    let heard = Heard::of(&nomad.run("open", &words(&[&["self"], &open, &["bind=127.0.0.1:443", "become-root"]])));
    assert_eq!(heard.field("CapAmb"), "00000000a80405fb");
    heard.all(open, true);
    heard.all(["setuid 0", "bind=127.0.0.1:443"], true);
    assert!(world.asked(PUBLIC), "nobody asked the internet");
}
