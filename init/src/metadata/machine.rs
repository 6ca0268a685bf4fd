//! The machine in our own words, as every platform's room makes one and all other rooms read it.
//! May not know a platform, nor how any of this was told.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net};

use crate::secret::Secret;

/// One machine, as its platform describes it. Nothing here is in the platform's words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// The platform's own id.
    pub(crate) id: Option<String>,
    /// Never empty: the id stands in for a hostname the platform does not tell.
    pub(crate) hostname: String,
    pub(crate) metro: Option<String>,
    pub(crate) facility: Option<String>,
    pub(crate) private4: Option<Management<Ipv4Addr>>,
    pub(crate) public4: Option<Management<Ipv4Addr>>,
    pub(crate) public6: Option<Management<Ipv6Addr>>,
    /// The private network: the link of `private4`, or what is reached through its gateway.
    pub(crate) private_subnets: Vec<Ipv4Net>,
    /// In the platform's order; no address stands twice.
    pub(crate) neighbours: Vec<Neighbour>,
    /// Where progress may be told to the platform.
    pub(crate) user_state_url: Option<String>,
    /// Where the platform wants to hear that the machine is up.
    pub(crate) phone_home_url: Option<String>,
    /// What the operator gave this machine's description for us: a document of secrets, as text.
    pub(crate) customdata: Option<Secret>,
    /// Where the description is answered, as far as that is known: whoever asks there gets passwords.
    pub(crate) service: BTreeSet<SocketAddr>,
    /// The name servers that its programs ask.
    pub(crate) resolvers: BTreeSet<IpAddr>,
    /// Since when nobody has confirmed this, RFC 3339, when it is what was kept of an earlier run.
    pub(crate) stale_since: Option<String>,
    /// What is odd but does not stop a boot, one sentence each.
    pub(crate) warnings: Vec<String>,
}

/// An address the platform manages the machine by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Management<A> {
    pub(crate) address: A,
    /// The prefix length of its link.
    pub(crate) length: u8,
    pub(crate) gateway: Option<A>,
}

/// One BGP neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) family: Family,
    pub(crate) address: IpAddr,
    pub(crate) asn: u32,
    pub(crate) local_asn: u32,
    /// Which of our addresses the session comes from; the neighbour accepts no other. `None` only for a link-local neighbour: then it is the
    /// interface's own link-local address, which no document knows.
    pub(crate) source: Option<IpAddr>,
    /// The interface whose link the neighbour is on. A link-local neighbour always has one.
    pub(crate) interface: Option<String>,
    /// Hops to it, 1 to 255; 1 means on-link.
    pub(crate) multihop: u8,
    pub(crate) way: Way,
    pub(crate) password: Option<Secret>,
    /// What it takes of us, when that is told.
    pub(crate) accepts: Option<Vec<Accepted>>,
}

/// A prefix that a neighbour takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub(crate) prefix: IpNet,
    /// Only this one, and no part of it.
    pub(crate) exact: bool,
}

impl Accepted {
    /// Whether that prefix is taken.
    pub(crate) fn takes(&self, prefix: &IpNet) -> bool {
        if self.exact { self.prefix == *prefix } else { self.prefix.contains(prefix) }
    }
}

/// How packets get to a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It is on the link of the session's source address itself.
    OnLink,
    /// This router forwards to it.
    Via(IpAddr),
    /// As everything else goes: the machine's own default route leads there, and the platform says that this is meant.
    Default,
    /// It is not on the link, and nobody says who forwards to it.
    Untold,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// As people write it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    pub(crate) const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

impl<A: Copy + Into<IpAddr>> Management<A> {
    /// The same without its family.
    pub(crate) fn any(self) -> Management<IpAddr> {
        Management { address: self.address.into(), length: self.length, gateway: self.gateway.map(Into::into) }
    }

    /// Whether that other address is on the same link.
    pub(crate) fn on_link(&self, other: IpAddr) -> bool {
        IpNet::new(self.address.into(), self.length).is_ok_and(|link| link.contains(&other))
    }
}

/// Whether an address means something on one link only, and a route by it needs the interface (RFC 4291 section 2.5.6). In IPv4 such
/// addresses are told apart by the link's prefix, as all others.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_whole_or_in_parts() {
        let accepted = |prefix: &str, exact| Accepted { prefix: prefix.parse().unwrap(), exact };
        for (accepted, prefix, taken) in [
            (accepted("198.51.100.0/24", false), "198.51.100.7/32", true),
            (accepted("198.51.100.0/24", true), "198.51.100.7/32", false),
            (accepted("198.51.100.0/24", true), "198.51.100.0/24", true),
            (accepted("198.51.100.7/32", false), "198.51.100.0/24", false),
            (accepted("::/0", false), "198.51.100.0/24", false),
        ] {
            assert_eq!(accepted.takes(&prefix.parse().unwrap()), taken, "{accepted:?} {prefix}");
        }
    }

    #[test]
    fn an_address_is_on_the_link_of_its_prefix_only() {
        let link = Management { address: Ipv4Addr::new(10, 0, 0, 3), length: 31, gateway: None };
        assert!(link.on_link("10.0.0.2".parse().unwrap()));
        assert!(!link.on_link("10.0.0.4".parse().unwrap()));
        assert!(!link.on_link("::a00:2".parse().unwrap()));
    }
}
