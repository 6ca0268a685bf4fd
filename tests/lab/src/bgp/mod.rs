//! Real BGP neighbours of a node: GoBGP, FRR and BIRD, run on the edge of a topology, each with a configuration the lab writes.
//! May not touch anything outside its temporary folder and the edge's network. Needs root and Debian's `gobgpd`, `frr` and `bird2`.

mod bird;
mod frr;
mod gobgp;
mod recorder;
mod wire;

pub use recorder::Recorder;
pub use wire::{Body, Message, Update};

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::topology::{NEIGHBOURS4, NEIGHBOURS6, NODE4, NODE6, OTHER4, OTHER6, Topology};
use crate::wait;

/// How long a daemon may take until it answers on its control socket.
const STARTS: Duration = Duration::from_secs(20);

/// Who plays the neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// `gobgpd`.
    GoBgp,
    /// FRR's `bgpd`, without zebra.
    Frr,
    /// BIRD 2.
    Bird,
}

impl Daemon {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::GoBgp, Self::Frr, Self::Bird];
}

/// What a neighbour is told before it starts.
#[derive(Debug, Clone, Default)]
pub struct Session {
    /// Which of the two neighbours it is: 0 or 1.
    pub which: usize,
    /// The password of its sessions (RFC 2385), without quotation marks.
    pub password: Option<String>,
    /// What it announces to the node: prefixes of both families.
    pub announces: Vec<String>,
    /// Whether it is the second node's neighbour. BIRD then also sends the edge's traffic where that node says, over any other way.
    pub of_other: bool,
}

impl Session {
    /// The node's address.
    fn node(&self, family: u8) -> &'static str {
        match (self.of_other, family) {
            (false, 4) => NODE4,
            (false, _) => NODE6,
            (true, 4) => OTHER4,
            (true, _) => OTHER6,
        }
    }

    fn address(&self, family: u8) -> &'static str {
        if family == 4 { NEIGHBOURS4[self.which] } else { NEIGHBOURS6[self.which] }
    }

    fn announced(&self, family: u8) -> impl Iterator<Item = &str> {
        self.announces.iter().map(String::as_str).filter(move |prefix| prefix.contains(':') == (family == 6))
    }
}

/// A route as a neighbour has learnt it from the node. Ordered by its prefix.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The prefix, in canonical text.
    pub prefix: String,
    /// Where the node says packets are to go.
    pub next_hop: String,
    /// The autonomous systems on the way, nearest first.
    pub as_path: Vec<u32>,
    /// The communities (RFC 1997), each as `asn:value`, sorted.
    pub communities: Vec<String>,
}

/// A neighbour that runs. It is killed when it is dropped, without a word to the node.
pub struct Peer {
    daemon: Daemon,
    /// The node's addresses.
    node: [&'static str; 2],
    folder: TempDir,
    child: Child,
}

impl Peer {
    /// Starts a neighbour on the edge, and waits until it can be asked; not until a session is established.
    pub fn start(topology: &Topology, daemon: Daemon, session: &Session) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("anymetal-peer-").tempdir()?;
        let path = folder.path().to_owned();
        let (mut command, name, config) = match daemon {
            Daemon::GoBgp => (gobgp::command(topology, &path), gobgp::CONFIG, gobgp::config(session)),
            Daemon::Frr => (frr::command(topology, &path, session), frr::CONFIG, frr::config(session, &path)),
            Daemon::Bird => (bird::command(topology, &path), bird::CONFIG, bird::config(session)),
        };
        fs::write(path.join(name), config).with_context(|| format!("writing {name} of {daemon:?}"))?;
        let log = File::create(path.join("output"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {daemon:?}"))?;
        let peer = Self { daemon, node: [4, 6].map(|family| session.node(family)), folder, child };
        let mut last = None;
        let answers = wait::until(STARTS, || match peer.established(4) {
            Ok(_) => true,
            Err(error) => {
                last = Some(error);
                false
            }
        });
        ensure!(answers, "waiting for {daemon:?}: {:#}\n{}", last.context("it was never asked")?, peer.output());
        if daemon == Daemon::GoBgp {
            gobgp::announce(&path, session)?;
        }
        Ok(peer)
    }

    /// Whether the session of this family is established, in the neighbour's own words.
    pub fn established(&self, family: u8) -> anyhow::Result<bool> {
        let path = self.folder.path();
        match self.daemon {
            Daemon::GoBgp => gobgp::established(path, self.node(family)),
            Daemon::Frr => frr::established(path, self.node(family)),
            Daemon::Bird => bird::established(path, family),
        }
    }

    fn node(&self, family: u8) -> &'static str {
        self.node[usize::from(family == 6)]
    }

    /// Everything it has learnt from the node and not lost again, of both families, sorted.
    pub fn routes(&self) -> anyhow::Result<Vec<Route>> {
        let mut routes = Vec::new();
        for family in [4, 6] {
            let path = self.folder.path();
            routes.extend(match self.daemon {
                Daemon::GoBgp => gobgp::routes(path, family, self.node(family))?,
                Daemon::Frr => frr::routes(path, family, self.node(family))?,
                Daemon::Bird => bird::routes(path, family)?,
            });
        }
        for route in &mut routes {
            route.communities.sort();
        }
        routes.sort();
        Ok(routes)
    }

    /// What it has written to its terminal so far, for messages.
    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// The process, to be stopped or killed.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// What a program that has to succeed says.
pub(crate) fn ask(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(output.status.success(), "{command:?}: {} {}", text(&output.stderr), text(&output.stdout));
    Ok(text(&output.stdout))
}

/// The same for a program that answers in JSON.
fn ask_json(command: &mut Command) -> anyhow::Result<Value> {
    let said = ask(command)?;
    serde_json::from_str(&said).with_context(|| format!("reading what {command:?} says: {said}"))
}

fn below(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}
