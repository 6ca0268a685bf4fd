//! The machine in our own words; one room per platform, and no other room knows a platform by name.
//! May not touch the network: `fetch` does, and what a document means is decided from its text alone.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anymetal_contract::Reason;
use anymetal_contract::plan::Anycast;
use ipnet::{IpNet, Ipv4Net};

use crate::failure::Failure;
use crate::secret::Secret;

mod clock;
mod equinix_metal;
mod fetch;

pub(crate) use fetch::work;

/// One machine, as its platform describes it. Nothing here is in the platform's words.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// What is reached through the gateway of `private4`.
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
    /// Which of our addresses the session comes from; the neighbour accepts no other.
    pub(crate) source: IpAddr,
    /// Hops to it, 1 to 255; 1 means on-link.
    pub(crate) multihop: u8,
    /// Who forwards to it; `None` when it is on the link of `source` itself.
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) password: Option<Secret>,
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

/// The families that are to be announced and have no neighbour to announce them to.
pub(crate) fn unspoken(anycast: &Anycast, machine: &Machine) -> Vec<Family> {
    let asked = |family| match family {
        Family::V4 => !anycast.v4.is_empty(),
        Family::V6 => !anycast.v6.is_empty(),
    };
    let spoken = |family| machine.neighbours.iter().any(|neighbour| neighbour.family == family);
    Family::ALL.into_iter().filter(|family| asked(*family) && !spoken(*family)).collect()
}

/// A platform: where its metadata is, and how it is read.
struct Platform {
    name: &'static str,
    /// Base URLs, in the order they are tried.
    bases: &'static [&'static str],
    /// The document's path below a base.
    path: &'static str,
    read: fn(&str) -> Result<Machine, Failure>,
    /// What an answer without success says, as a sentence after "it answers ".
    excuse: fn(status: u16, body: &str) -> String,
}

const PLATFORMS: &[Platform] = &[equinix_metal::PLATFORM];

/// The names of all platforms whose metadata can be read.
pub(crate) fn platforms() -> Vec<&'static str> {
    PLATFORMS.iter().map(|platform| platform.name).collect()
}

/// Reads a metadata document of that platform. Everything wrong with it is named in one failure.
pub(crate) fn read(platform: &str, text: &str) -> Result<Machine, Failure> {
    (named(platform)?.read)(text)
}

fn named(name: &str) -> Result<&'static Platform, Failure> {
    PLATFORMS.iter().find(|platform| platform.name == name).ok_or_else(|| {
        let known = platforms().join(", ");
        Failure::new(
            Reason::PlanBeyondInit,
            format!("reading the metadata of platform {name:?}: this init knows only {known}"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_platform_is_beyond_this_init() {
        let failure = read("moonbase", "{}").unwrap_err();
        assert_eq!(failure.reason, Reason::PlanBeyondInit);
        assert_eq!(
            failure.chain(),
            r#"reading the metadata of platform "moonbase": this init knows only equinix-metal"#
        );
    }

    #[test]
    fn an_address_is_on_the_link_of_its_prefix_only() {
        let link = Management { address: Ipv4Addr::new(10, 0, 0, 3), length: 31, gateway: None };
        assert!(link.on_link("10.0.0.2".parse().unwrap()));
        assert!(!link.on_link("10.0.0.4".parse().unwrap()));
        assert!(!link.on_link("::a00:2".parse().unwrap()));
    }
}
