//! What an update says: prefixes that are announced, with their communities, and prefixes that are withdrawn.
//! May not keep any of it.

use std::collections::BTreeSet;
use std::fmt;

use ipnet::IpNet;
use routecore::bgp::ParseError;
use routecore::bgp::communities::StandardCommunity;
use routecore::bgp::message::UpdateMessage;
use routecore::bgp::nlri::afisafi::{IsPrefix as _, Nlri};

/// A standard community (RFC 1997).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Community(pub u16, pub u16);

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0, self.1)
    }
}

/// The communities of a route.
pub type Communities = BTreeSet<Community>;

/// What becomes of one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is announced, with these communities. What was said of it before is forgotten.
    Announced(IpNet, Communities),
    /// It is announced no more.
    Withdrawn(IpNet),
}

/// What an update changes, in its order: what it withdraws, then what it announces. Anything but unicast routes is left out; none was asked for.
pub(super) fn changes(update: &UpdateMessage<Vec<u8>>) -> Result<Vec<Change>, ParseError> {
    let communities = update.communities()?.map(|all| all.map(community).collect::<Communities>()).unwrap_or_default();
    let mut changes = Vec::new();
    for route in update.withdrawals()? {
        changes.extend(prefix(&route?).map(Change::Withdrawn));
    }
    for route in update.announcements()? {
        changes.extend(prefix(&route?).map(|prefix| Change::Announced(prefix, communities.clone())));
    }
    Ok(changes)
}

fn community(community: StandardCommunity) -> Community {
    let [a, b, c, d] = community.to_raw();
    Community(u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

fn prefix<O>(route: &Nlri<O>) -> Option<IpNet> {
    let prefix = match route {
        Nlri::Ipv4Unicast(route) => route.prefix(),
        Nlri::Ipv6Unicast(route) => route.prefix(),
        _ => return None,
    };
    let (address, length) = prefix.addr_and_len();
    IpNet::new(address, length).ok()
}
