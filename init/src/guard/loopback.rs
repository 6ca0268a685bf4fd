//! The anycast prefixes as this machine's own: an address of each on the loopback, and of a net all the others too.
//! May not announce them, nor look at other interfaces.

use std::net::{IpAddr, Ipv6Addr};

use anyhow::ensure;
use ipnet::IpNet;

use crate::sys::addresses::Loopback;

/// Makes the prefixes this machine's, and makes sure that the kernel takes them for its own. Adds to `done` what had to be done; nothing, which
/// takes microseconds, when they were. Fails when something still leads elsewhere, and names it.
pub(crate) fn own(prefixes: &[IpNet], done: &mut Vec<String>) -> anyhow::Result<()> {
    let wanted: Vec<IpAddr> = prefixes.iter().map(address).collect();
    let mut loopback = Loopback::open()?;
    let added = loopback.ensure(&wanted)?;
    done.extend(added.iter().map(|address| format!("{address} is on the loopback")));
    for prefix in prefixes {
        // An address can be there without its route, when somebody has taken that away alone.
        let first = loopback.is_own(address(prefix))?;
        if (is_net(prefix) || !first) && loopback.route(*prefix)? {
            done.push(format!("{prefix} leads to this machine"));
        }
        if first && !is_net(prefix) {
            continue;
        }
        for asked in [address(prefix), last(prefix)] {
            ensure!(
                loopback.is_own(asked)?,
                "{asked} does not lead to this machine although its route is there; hint: see `ip rule` and `ip route get {asked}`"
            );
        }
    }
    Ok(())
}

/// The end of a prefix, which stands for all of it.
fn last(prefix: &IpNet) -> IpAddr {
    // The broadcast address of an IPv4 net is no host's, and may lead elsewhere.
    prefix.hosts().next_back().unwrap_or(prefix.addr())
}

/// Gives up prefixes that are the site's no more; to be called when nothing announces them any more.
pub(crate) fn give_up(prefixes: &[IpNet]) -> anyhow::Result<Vec<String>> {
    let unwanted: Vec<IpAddr> = prefixes.iter().map(address).collect();
    let mut loopback = Loopback::open()?;
    let removed = loopback.remove(&unwanted)?;
    let mut done: Vec<String> = removed.iter().map(|address| format!("{address} is off the loopback")).collect();
    for prefix in prefixes.iter().filter(|prefix| is_net(prefix)) {
        if loopback.unroute(*prefix)? {
            done.push(format!("{prefix} does not lead to this machine any more"));
        }
    }
    Ok(done)
}

fn is_net(prefix: &IpNet) -> bool {
    prefix.prefix_len() < prefix.max_prefix_len()
}

/// Of a prefix the address that is asked: its own, or of a net the first that is a machine's.
pub(crate) fn address(prefix: &IpNet) -> IpAddr {
    match prefix {
        IpNet::V4(net) => net.hosts().next().unwrap_or(net.addr()).into(),
        // The first address of an IPv6 net is its routers' (RFC 4291 section 2.6.1).
        IpNet::V6(net) if net.prefix_len() < 127 => Ipv6Addr::from(u128::from(net.network()) + 1).into(),
        IpNet::V6(net) => net.addr().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_prefix_the_first_address_that_is_a_machines_is_asked() {
        for (prefix, asked) in [
            ("198.51.100.7/32", "198.51.100.7"),
            ("198.51.100.6/31", "198.51.100.6"),
            ("198.51.100.0/24", "198.51.100.1"),
            ("2001:db8::7/128", "2001:db8::7"),
            ("2001:db8::6/127", "2001:db8::6"),
            ("2001:db8::/48", "2001:db8::1"),
        ] {
            assert_eq!(address(&prefix.parse().unwrap()).to_string(), asked, "{prefix}");
        }
    }
}
