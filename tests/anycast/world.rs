//! A node with BIRD and its neighbours, with everything between them recorded.
//! May not expect anything but that it comes up: the suites do.

use std::time::Duration;

use anymetal_lab::bgp::{Daemon, Peer, Recorder, Session};
use anymetal_lab::speaker::{Bird, Speaker};
use anymetal_lab::topology::{NEIGHBOURS4, NEIGHBOURS6, Topology};
use anymetal_lab::wait;

use crate::render::bird_conf;

/// Nothing here takes longer; a limit against hanging, not a measure.
pub const LIMIT: Duration = Duration::from_secs(40);
/// The password of the sessions.
pub const PASSWORD: &str = "not-a-real-secret";
/// The node's sessions with the first neighbour.
pub const SESSIONS: [&str; 2] = ["edge_v4_1", "edge_v6_1"];

/// All that is in a test. What comes first is dropped first.
pub struct World {
    pub peer: Peer,
    pub bird: Speaker,
    pub recorder: Recorder,
    pub topology: Topology,
    pub before: Before,
}

/// What there was on the node while no neighbour ran.
pub struct Before {
    /// The kernel's routes, those to the neighbours among them.
    pub kernel: String,
    /// BIRD's own count of its routes.
    pub count: String,
}

impl World {
    /// A node with this BIRD, whose first neighbour is this daemon, told this.
    pub fn new(bird: &Bird, daemon: Daemon, session: &Session) -> Self {
        let topology = Topology::new().unwrap();
        let recorder = Recorder::start(&topology.edge).unwrap();
        let bird = Speaker::start(&topology.node, bird, &bird_conf(Some(PASSWORD))).unwrap();
        let reaches = wait::until(LIMIT, || reaches_neighbours(&kernel(&topology)));
        assert!(reaches, "the node has no routes to its neighbours:\n{}", kernel(&topology));
        let before = Before { kernel: kernel(&topology), count: bird.tell("show route count").unwrap() };
        let peer = Peer::start(&topology, daemon, session).unwrap();
        Self { peer, bird, recorder, topology, before }
    }

    /// Waits until both sessions are established, in both sides' words.
    pub fn established(&self) {
        let established = || {
            SESSIONS.iter().all(|session| self.bird.established(session).unwrap())
                && [4, 6].iter().all(|family| self.peer.established(*family).unwrap())
        };
        if !wait::until(LIMIT, established) {
            let bird = self.bird.tell("show protocols all").unwrap();
            panic!("the sessions are not established\n{bird}\n{}", self.peer.output());
        }
    }

    /// What the neighbour has learnt, once this holds of its prefixes.
    pub fn prefixes(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        let mut prefixes = Vec::new();
        let holds = wait::until(LIMIT, || {
            prefixes = self.peer.routes().unwrap().into_iter().map(|route| route.prefix).collect();
            holds(&prefixes)
        });
        assert!(holds, "the neighbour does not have {what}: it has {prefixes:?}\n{}", self.peer.output());
    }

    /// All routes the node's kernel has, of both families, in all tables.
    pub fn kernel(&self) -> String {
        kernel(&self.topology)
    }
}

fn kernel(topology: &Topology) -> String {
    let list = |family: &str| {
        let said = topology.node.command("ip").args([family, "route", "show", "table", "all"]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    list("-4") + &list("-6")
}

/// Whether these routes lead to all neighbours.
pub fn reaches_neighbours(kernel: &str) -> bool {
    NEIGHBOURS4.iter().chain(&NEIGHBOURS6).all(|neighbour| kernel.contains(&format!("{neighbour} ")))
}

/// How many segments both kernels have refused for what they were signed with (`TCPMD5Failure` of `/proc/net/netstat`).
pub fn refused(topology: &Topology) -> u64 {
    let count = || {
        let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (lines.next().unwrap().split(' '), lines.next().unwrap().split(' '));
        let found = names.zip(values).find(|(name, _)| *name == "TCPMD5Failure");
        found.expect("the kernel counts it").1.parse::<u64>().unwrap()
    };
    topology.node.inside(count) + topology.edge.inside(count)
}

/// Whether this suite can run; says so when it cannot.
pub fn possible() -> bool {
    Topology::possible().map_err(|why| eprintln!("skipped: {why}")).is_ok()
}

/// What the daemon is told for an ordinary session.
pub fn session() -> Session {
    Session { password: Some(PASSWORD.into()), ..Session::default() }
}

/// Every BIRD this machine has for the node. Says so when there is no BIRD 3.
pub fn birds() -> Vec<Bird> {
    let three = Bird::three();
    if three.is_none() {
        eprintln!("without BIRD 3: there is none in target/bird3 (make bird3)");
    }
    [Some(Bird::installed()), three].into_iter().flatten().collect()
}
