//! The BGP neighbour of the test machine: takes its session, announces nothing, and keeps what the machine announces.
//! May not open a socket or read a clock, which `sys::converse` does, nor judge what it is told.

pub mod judge;
mod routes;
mod session;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ipnet::IpNet;

pub use routes::{Change, Communities, Community};

use crate::sys::converse::{Conversations, Talk, Turn};
use session::{Fact, Parties, Session};

/// The number of the platform's peers.
pub const ASN: u32 = 65530;
/// The number of the platform's customers who have none of their own.
pub const CUSTOMER: u32 = 65000;
/// The neighbour's name in BGP is the address of the first of the platform's own.
const PARTIES: Parties = Parties { asn: ASN, id: [169, 254, 255, 1], peer: CUSTOMER };

/// What has happened at the neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A session is established. It begins without routes.
    Established,
    /// A prefix is announced or withdrawn.
    Route(Change),
    /// The session is over, and its routes with it; why.
    Over(String),
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Established => f.write_str("neighbour: established"),
            Self::Route(Change::Announced(prefix, communities)) => {
                write!(f, "neighbour: has {}", with(*prefix, communities))
            }
            Self::Route(Change::Withdrawn(prefix)) => write!(f, "neighbour: no longer has {prefix}"),
            Self::Over(why) => write!(f, "neighbour: session over: {why}"),
        }
    }
}

/// What the neighbour knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether a session is established.
    pub established: bool,
    /// What is announced to it, with the communities.
    pub routes: BTreeMap<IpNet, Communities>,
}

impl Known {
    /// The routes in one line.
    pub fn listed(&self) -> String {
        let routes = self.routes.iter().map(|(prefix, communities)| with(*prefix, communities));
        routes.collect::<Vec<_>>().join(", ")
    }
}

/// `198.51.100.7/32`, or `198.51.100.7/32 with 65535:0`.
fn with(prefix: IpNet, communities: &Communities) -> String {
    let mut text = prefix.to_string();
    for (i, community) in communities.iter().enumerate() {
        let _infallible = write!(text, "{}{community}", if i == 0 { " with " } else { " " });
    }
    text
}

/// Hears what happens, in its order.
pub type Listen = Box<dyn Fn(News) + Send + Sync>;

/// A neighbour that runs until it is dropped.
pub struct Neighbour {
    conversations: Conversations,
    world: Arc<World>,
}

struct World {
    listen: Listen,
    /// The number of the next session.
    next: AtomicU64,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    /// The number of the session that is established, or was last.
    session: u64,
    known: Known,
}

impl Neighbour {
    /// Listens on a free port of loopback. It is of [`ASN`] and speaks with [`CUSTOMER`].
    pub fn start(listen: Listen) -> anyhow::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), listen)
    }

    /// Listens there, in the network of the calling thread.
    pub fn start_at(at: SocketAddr, listen: Listen) -> anyhow::Result<Self> {
        let world = Arc::new(World { listen, next: AtomicU64::new(1), now: Mutex::default() });
        let conversations = Conversations::start(at, {
            let world = Arc::clone(&world);
            move |now| {
                let number = world.next.fetch_add(1, Ordering::SeqCst);
                Box::new(Spoken { number, session: Session::open(PARTIES, now), world: Arc::clone(&world) })
            }
        })?;
        Ok(Self { conversations, world })
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.conversations.port()
    }

    /// What it knows now.
    pub fn known(&self) -> Known {
        self.world.now().known.clone()
    }
}

impl World {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().expect("no thread of the neighbour panics with the lock")
    }

    /// Takes up what a session found out. Says whether another one has taken its place.
    fn take(&self, number: u64, facts: Vec<Fact>) -> bool {
        let mut now = self.now();
        for fact in facts {
            let news = match fact {
                Fact::Established if number < now.session => continue,
                Fact::Established => {
                    // One that was established may not have been heard to end: the power was cut, or bird started anew.
                    *now = Now { session: number, known: Known { established: true, ..Known::default() } };
                    News::Established
                }
                // A session that never came to be is news too: why not is what somebody wants to know.
                Fact::Over(why) if number != now.session => {
                    if number > now.session {
                        (self.listen)(News::Over(why));
                    }
                    continue;
                }
                Fact::Over(why) => {
                    now.known = Known::default();
                    News::Over(why)
                }
                Fact::Route(_) if number != now.session => continue,
                Fact::Route(change) => {
                    match &change {
                        Change::Announced(prefix, communities) => {
                            now.known.routes.insert(*prefix, communities.clone());
                        }
                        Change::Withdrawn(prefix) => _ = now.known.routes.remove(prefix),
                    }
                    News::Route(change)
                }
            };
            // Under the lock, so that news is heard in its order.
            (self.listen)(news);
        }
        number < now.session
    }
}

/// One connection.
struct Spoken {
    number: u64,
    session: Session,
    world: Arc<World>,
}

impl Spoken {
    fn turn(&mut self) -> Turn {
        if self.world.take(self.number, self.session.facts()) {
            self.session.give_way();
        }
        let (send, hang_up) = self.session.out();
        Turn { send, hang_up }
    }
}

impl Talk for Spoken {
    fn greet(&mut self) -> Turn {
        self.turn()
    }

    fn hear(&mut self, bytes: &[u8], now: Duration) -> Turn {
        self.session.hear(bytes, now);
        self.turn()
    }

    fn wait(&mut self, now: Duration) -> Turn {
        self.session.pass(now);
        self.turn()
    }

    fn lose(&mut self, why: &str) {
        self.session.lose(why);
        self.world.take(self.number, self.session.facts());
    }
}
