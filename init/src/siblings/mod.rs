//! Nodes of the site on one private link share blobs: each is fetched from outside once, and given from one to the next by its digest.
//! May not trust a sibling: what it says is a hint that may cost time, and what it gives is hashed as anybody's bytes are.
//!
//! Nobody keeps a list of nodes. Whoever wants blobs asks everybody on the link, four times a second, and hears who has, fetches or wants them;
//! that tells the others what he wants, too. `board` decides from it. It works where the private network is one link with a broadcast address;
//! where every machine has a link of its own to a router (Equinix Metal's /31), nobody hears, and blobs come as without siblings.

mod board;
mod packet;
pub(crate) mod unit;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::plan::{Plan, Supply};
use anymetal_contract::{Digest, Outcome, Phase, place};
use ipnet::Ipv4Net;

use crate::metadata::Machine;
use crate::phase::Steps;
use crate::services;
use crate::sys::link::{Heard, Link};
use crate::sys::{clock, giving};
use crate::world::World;
use board::Board;
pub(crate) use board::Turn;
use packet::{LONGEST, MOST, Packet, State};

/// Between two questions about what is still wanted.
const ROUND: Duration = Duration::from_millis(250);
/// The thread's stack: it holds a datagram and little more.
const STACK: usize = 128 * 1024;
/// The step's name.
const STEP: &str = "siblings";

/// Where a node stands on its private link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: Ipv4Addr,
    pub(crate) broadcast: Ipv4Addr,
    /// Who may be a sibling.
    pub(crate) networks: Vec<Ipv4Net>,
}

/// This node among its siblings. It gives what it has for as long as the process lives.
pub(crate) struct Siblings {
    shared: Arc<Shared>,
}

struct Shared {
    place: Place,
    port: u16,
    store: PathBuf,
    link: Link,
    board: Mutex<Board>,
    /// Something was heard.
    news: Condvar,
}

impl Place {
    /// The machine's place on a private link that others can be on; `None` when its link has room for nobody else, or only for a router.
    pub(crate) fn of(machine: &Machine) -> Option<Self> {
        let private = machine.private4?;
        Self::at(Ipv4Net::new(private.address, private.length).ok()?)
    }

    /// The place of this address, with the length of its link.
    pub(crate) fn at(address: Ipv4Net) -> Option<Self> {
        let place = Self { address: address.addr(), broadcast: address.broadcast(), networks: vec![address.trunc()] };
        (address.prefix_len() <= 30).then_some(place)
    }
}

/// Joins the siblings, as soon as the machine is known. What does not work is said: a node can do without them.
pub(crate) fn join(world: &World, machine: &Machine, steps: &dyn Steps) {
    let Plan { supplies, phases, .. } = world.plan();
    let named = supplies.is_empty() || supplies.contains(&Supply::Siblings);
    let wanted = named && phases.contains(&Phase::Acquire);
    world.siblings.get_or_init(|| {
        let place = Place::of(machine).filter(|_| wanted)?;
        let address = place.address;
        let join = || Siblings::begin(place.clone(), place::SIBLINGS, world.at(place::STORE));
        let joined = join().or_else(|error| {
            // What a last boot left running gives the same blobs, but cannot ask for any.
            if !is_taken(&error) || !world.is_node() || services::systemd::stop(unit::NAME).is_err() {
                return Err(error);
            }
            join()
        });
        match joined {
            Ok(siblings) => Some(siblings),
            Err(error) => {
                let words = format!("{error:#}; {address} shares nothing with its siblings in this run");
                steps.step(STEP, Outcome::Progress, &words);
                None
            }
        }
    });
}

/// Whether somebody else listens there.
fn is_taken(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| Some(cause.downcast_ref::<std::io::Error>()?.kind()));
    kinds.into_iter().any(|kind| kind == std::io::ErrorKind::AddrInUse)
}

impl Siblings {
    /// Gives, hears and asks from now on, in threads of its own.
    pub(crate) fn begin(place: Place, port: u16, store: PathBuf) -> anyhow::Result<Self> {
        let (link, listener) = Link::open(place.address, place.broadcast, port)?;
        let board = Mutex::new(Board::new(place.address));
        let shared = Arc::new(Shared { place, port, store, link, board, news: Condvar::new() });
        start("gives", &shared, move |shared| {
            giving::serve(&listener, &shared.store, &shared.place.networks);
        })?;
        start("hears", &shared, |shared| shared.hear(Link::hear_own))?;
        start("hears-all", &shared, |shared| shared.hear(Link::hear_all))?;
        start("asks", &shared, Shared::ask_on)?;
        Ok(Self { shared })
    }

    /// Where a sibling gives this blob.
    pub(crate) fn url(&self, sibling: Ipv4Addr, digest: &Digest) -> String {
        format!("http://{sibling}:{}/{}", self.shared.port, place::blob(digest))
    }

    /// These blobs are wanted from now on.
    pub(crate) fn want(&self, digest: &Digest) {
        if self.shared.board().want(clock::monotonic(), digest) {
            self.shared.news.notify_all();
        }
    }

    /// Whose turn it is to get a blob. When it is this node's, from outside, the siblings are told so from now on.
    pub(crate) fn turn(&self, digest: &Digest) -> Turn {
        let mut board = self.shared.board();
        let turn = board.turn(clock::monotonic(), digest);
        if turn == Turn::Outside {
            board.set(digest, State::Coming(0));
        }
        turn
    }

    /// There is nothing to do but to wait for siblings.
    pub(crate) fn waits(&self) {
        self.shared.board().waits(clock::monotonic());
    }

    /// Asking them took so long, in vain. Says whether that was the last time.
    pub(crate) fn lost(&self, time: Duration) -> bool {
        let mut board = self.shared.board();
        let before = board.is_worn_out();
        board.lost(time);
        !before && board.is_worn_out()
    }

    /// Waits a little for news.
    pub(crate) fn rest(&self) {
        let mut board = self.shared.board();
        board.waits(clock::monotonic());
        let _either_way = self.shared.news.wait_timeout(board, ROUND);
    }

    /// So much of it has come.
    pub(crate) fn came(&self, digest: &Digest, bytes: u64) {
        let mut board = self.shared.board();
        if matches!(board.state(digest), Some(State::Coming(_))) {
            board.set(digest, State::Coming(bytes));
        }
    }

    /// It is in the store, or this node has given up on it for now: others need not wait.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.shared.board().forget(digest);
    }

    /// A sibling gave other bytes, or none. Says whether it is asked again.
    pub(crate) fn strike(&self, sibling: Ipv4Addr, lied: bool, digest: &Digest) -> bool {
        self.shared.board().strike(clock::monotonic(), sibling, lied, digest)
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is said, and answers questions.
    fn hear(&self, next: fn(&Link, &mut [u8]) -> Heard) {
        // One byte more than any packet has: what is longer is none.
        let mut buffer = [0; LONGEST + 1];
        loop {
            let Ok((length, from)) = next(&self.link, &mut buffer) else {
                // An answer that nobody waited for comes back as an error, once.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            };
            let stranger =
                *from.ip() == self.place.address || !giving::is_on(&self.place.networks, (*from.ip()).into());
            if stranger || from.port() != self.port {
                continue;
            }
            let Some(packet) = Packet::read(&buffer[..length]) else { continue };
            if let Some(answer) = self.take_in(*from.ip(), &packet) {
                self.link.say(&answer.bytes(), from);
            }
        }
    }

    /// The answer to a question, when there is anything to say.
    fn take_in(&self, from: Ipv4Addr, packet: &Packet) -> Option<Packet> {
        let now = clock::monotonic();
        let mut entries = Vec::new();
        let mut board = self.board();
        for (digest, state) in &packet.entries {
            board.hear(now, from, digest, *state);
            if packet.question {
                let here = || giving::has(&self.store, digest).then_some(State::Here);
                entries.extend(board.state(digest).or_else(here).map(|state| (digest.clone(), state)));
            }
        }
        drop(board);
        self.news.notify_all();
        (!entries.is_empty()).then_some(Packet { question: false, entries })
    }

    /// Asks for what is wanted, for as long as something is.
    fn ask_on(&self) {
        loop {
            let board = self.board();
            let none = |board: &mut Board| board.wanted().is_empty();
            let board = self.news.wait_while(board, none).unwrap_or_else(PoisonError::into_inner);
            let wanted = board.wanted();
            drop(board);
            for entries in wanted.chunks(MOST) {
                self.link.say_to_all(&Packet { question: true, entries: entries.to_vec() }.bytes());
            }
            std::thread::sleep(ROUND);
        }
    }
}

fn start(name: &str, shared: &Arc<Shared>, work: impl FnOnce(&Shared) + Send + 'static) -> anyhow::Result<()> {
    let shared = Arc::clone(shared);
    let builder = std::thread::Builder::new().name(format!("sibling-{name}")).stack_size(STACK);
    builder.spawn(move || work(&shared)).with_context(|| format!("starting the thread that {name}")).map(drop)
}

/// Gives what is in the store to siblings, for ever: what the unit does after the boot.
pub(crate) fn give(place: Place, store: &Path) -> anyhow::Result<std::convert::Infallible> {
    let _gives = Siblings::begin(place, place::SIBLINGS, store.to_owned())?;
    loop {
        std::thread::park();
    }
}
