//! Sessions with every neighbour: what is announced and when, what is never taken, and what a password is for.
//! May not steer by anything but BIRD's control socket, as the guard does.

use std::collections::BTreeSet;
use std::time::Duration;

use anymetal_lab::bgp::{Body, Daemon, Message, Session, Update};
use anymetal_lab::topology::{NEIGHBOURS4, NEIGHBOURS6, NODE4, NODE6};
use anymetal_lab::wait;

use crate::render::{COMMUNITY, SITE, goldens};
use crate::world::{LIMIT, World, birds, possible, reaches_neighbours, refused, session};

/// Asks the network to go elsewhere (RFC 8326).
const ELSEWHERE: &str = "65535:0";

#[test]
fn gobgp_hears_exactly_what_is_enabled() {
    hears_exactly_what_is_enabled(Daemon::GoBgp);
}

#[test]
fn frr_hears_exactly_what_is_enabled() {
    hears_exactly_what_is_enabled(Daemon::Frr);
}

#[test]
fn bird_hears_exactly_what_is_enabled() {
    hears_exactly_what_is_enabled(Daemon::Bird);
}

fn hears_exactly_what_is_enabled(daemon: Daemon) {
    if !possible() {
        return;
    }
    for bird in birds() {
        let world = World::new(&bird, daemon, &session());
        world.established();
        // Once everything has been told, an update without prefixes says so (RFC 4724): nothing has come before, and nothing is on its way.
        for node in [NODE4, NODE6] {
            let told =
                |message: &Message| message.from.to_string() == node && message.body == Body::Update(Update::default());
            assert!(
                world.recorder.wait_for(0, LIMIT, told).is_some(),
                "{node} does not say that it has told everything"
            );
        }
        assert_eq!(heard(&world, 0), [], "a node that is withdrawn announces");
        assert_eq!(world.peer.routes().unwrap(), []);

        enable(&world, "anycast4", "anycast6");
        world.prefixes("the site's prefixes", |prefixes| prefixes == SITE);
        for route in world.peer.routes().unwrap() {
            assert_eq!(route.communities, [COMMUNITY], "{route:?}");
            assert_eq!(route.as_path, [65_000], "{route:?}");
            let own = if route.prefix.contains(':') { NODE6 } else { NODE4 };
            assert_eq!(route.next_hop, own, "{route:?}");
        }

        drains(&world);
        comes_back(&world);

        let mark = world.recorder.mark();
        for protocol in ["anycast4", "anycast6"] {
            world.bird.tell(&format!("disable {protocol}")).unwrap();
        }
        world.prefixes("nothing", <[String]>::is_empty);
        // The recorder may be a moment behind the neighbour.
        let gone = || sorted(heard(&world, mark).into_iter().flat_map(|update| update.withdrawn).collect());
        wait::until(LIMIT, || gone().len() >= SITE.len());
        assert_eq!(gone(), SITE, "not every prefix was withdrawn once");
    }
}

/// From announced to draining: one update for each prefix, with the community, and no withdrawal.
fn drains(world: &World) {
    let mark = world.recorder.mark();
    enable(world, "anycast4_drain", "anycast6_drain");
    for protocol in ["anycast4", "anycast6"] {
        world.bird.tell(&format!("disable {protocol}")).unwrap();
    }
    changes_once(world, mark, &sorted(vec![COMMUNITY.to_owned(), ELSEWHERE.to_owned()]));
}

/// And back.
fn comes_back(world: &World) {
    let mark = world.recorder.mark();
    enable(world, "anycast4", "anycast6");
    for protocol in ["anycast4_drain", "anycast6_drain"] {
        world.bird.tell(&format!("disable {protocol}")).unwrap();
    }
    changes_once(world, mark, &[COMMUNITY.to_owned()]);
}

fn changes_once(world: &World, mark: usize, communities: &[String]) {
    let changed = wait::until(LIMIT, || {
        let routes = world.peer.routes().unwrap();
        routes.len() == SITE.len() && routes.iter().all(|route| route.communities == communities)
    });
    assert!(changed, "the neighbour does not see {communities:?}: {:?}", world.peer.routes());
    // BIRD sends a change when it is made, so a withdrawal that belonged to this one would be here well within a second.
    wait::until(Duration::from_secs(1), || heard(world, mark).iter().any(|update| !update.withdrawn.is_empty()));
    let updates = heard(world, mark);
    assert!(updates.iter().all(|update| update.withdrawn.is_empty()), "there was a withdrawal: {updates:?}");
    assert!(updates.iter().all(|update| update.communities == communities), "{updates:?}");
    let announced = updates.into_iter().flat_map(|update| update.announced).collect();
    assert_eq!(sorted(announced), SITE, "not every prefix was updated once");
}

#[test]
fn a_wrong_password_never_establishes_a_session() {
    if !possible() {
        return;
    }
    for (bird, daemon) in birds().iter().flat_map(|bird| Daemon::ALL.map(|daemon| (bird, daemon))) {
        let wrong = Session { password: Some("wrong".into()), ..Session::default() };
        let world = World::new(bird, daemon, &wrong);
        enable(&world, "anycast4", "anycast6");
        // Either side has tried, or is tried by the other: the kernel has dropped what was signed with another password, time and again.
        let tried = wait::until(LIMIT, || refused(&world.topology) >= 6);
        assert!(tried, "{daemon:?} and the node have not tried: {}", world.peer.output());
        for family in [4, 6] {
            assert!(!world.peer.established(family).unwrap(), "{daemon:?} took the wrong password");
        }
        assert_eq!(world.recorder.messages(), [], "something was said to {daemon:?} without the password");
        assert_eq!(world.peer.routes().unwrap(), []);
    }
}

#[test]
fn a_hostile_neighbour_changes_nothing_on_the_node() {
    if !possible() {
        return;
    }
    let many = (0..10_000).map(|number| format!("10.{}.{}.0/24", 128 + number / 256, number % 256));
    let worst =
        ["0.0.0.0/0", "::/0", "198.51.100.6/31", "198.51.100.7/32", "2001:db8:45d1:fd80::7/128", "10.66.142.16/31"];
    let announces: Vec<String> = worst.map(str::to_owned).into_iter().chain(many).collect();
    for (bird, daemon) in birds().iter().flat_map(|bird| Daemon::ALL.map(|daemon| (bird, daemon))) {
        let world = World::new(bird, daemon, &Session { announces: announces.clone(), ..session() });
        enable(&world, "anycast4", "anycast6");
        world.established();
        let mut missing = BTreeSet::new();
        let arrived = wait::until(LIMIT, || {
            missing = announces.iter().cloned().collect();
            for message in [NEIGHBOURS4[0], NEIGHBOURS6[0]].iter().flat_map(|from| world.recorder.updates(from, 0)) {
                message.update().unwrap().announced.iter().for_each(|prefix| _ = missing.remove(prefix));
            }
            missing.is_empty()
        });
        let some: Vec<_> = missing.iter().take(9).collect();
        assert!(
            arrived,
            "{daemon:?} did not announce {} prefixes, as {some:?}: {}",
            missing.len(),
            world.peer.output()
        );
        world.prefixes("the site's prefixes", |prefixes| prefixes == SITE);
        assert_eq!(world.kernel(), world.before.kernel, "{daemon:?} has changed the node's routes");
        for protocol in ["anycast4", "anycast6"] {
            world.bird.tell(&format!("disable {protocol}")).unwrap();
        }
        let count = world.bird.tell("show route count").unwrap();
        assert_eq!(count, world.before.count, "BIRD has taken something from {daemon:?}");
    }
}

#[test]
fn after_a_restart_the_neighbours_can_be_reached_and_nothing_is_announced() {
    if !possible() {
        return;
    }
    for bird in birds() {
        let mut world = World::new(&bird, Daemon::Bird, &session());
        world.established();
        enable(&world, "anycast4", "anycast6");
        world.prefixes("the site's prefixes", |prefixes| prefixes == SITE);
        let World { bird, topology, .. } = &mut world;
        bird.restart(&topology.node).unwrap();
        let mark = world.recorder.mark();
        world.established();
        let kernel = world.kernel();
        assert!(reaches_neighbours(&kernel), "a neighbour cannot be reached:\n{kernel}");
        world.prefixes("nothing", <[String]>::is_empty);
        assert_eq!(heard(&world, mark), [], "a node that was restarted announces");
    }
}

#[test]
fn every_golden_is_accepted_by_every_bird() {
    for bird in birds() {
        let version = bird.version().unwrap();
        let refused = goldens().into_iter().filter_map(|(case, text)| Some((case, bird.accepts(&text).err()?)));
        let refused: Vec<String> = refused.map(|(case, why)| format!("{case}: {why:#}")).collect();
        assert!(refused.is_empty(), "{version} refuses\n{}", refused.join("\n"));
        eprintln!("{version} accepts {} configurations", goldens().len());
    }
}

fn enable(world: &World, protocol4: &str, protocol6: &str) {
    for protocol in [protocol4, protocol6] {
        world.bird.tell(&format!("enable {protocol}")).unwrap();
    }
}

/// What the node has said of prefixes after a mark.
fn heard(world: &World, mark: usize) -> Vec<Update> {
    let updates = [NODE4, NODE6].into_iter().flat_map(|node| world.recorder.updates(node, mark));
    updates.map(|message| message.update().unwrap().clone()).collect()
}

fn sorted(mut words: Vec<String>) -> Vec<String> {
    words.sort();
    words
}
