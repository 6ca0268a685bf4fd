//! The machine's addresses, and the names of host networks each of them has.
//! May not hand out a port: `placement` does.

use std::net::IpAddr;

use super::config::{Config, HostNetwork};

/// An address of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub interface: String,
    pub ip: IpAddr,
    /// The host networks it belongs to; without one it takes no ports.
    pub networks: Vec<String>,
}

/// The machine's addresses, in the kernel's order.
pub fn of_machine(config: &Config) -> Vec<Address> {
    let standard = config.interface.clone().or_else(default_interface);
    let mut all = Vec::new();
    for entry in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let Some(address) = entry.address else { continue };
        let four = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
        let six = address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip()));
        if let Some(ip) = four.or(six) {
            let networks = networks(config, standard.as_deref(), &entry.interface_name, ip);
            all.push(Address { interface: entry.interface_name, ip, networks });
        }
    }
    // Link-local addresses serve only where an interface has nothing else.
    let others: Vec<String> = all
        .iter()
        .filter(|address| !link_local(address.ip) && !address.networks.is_empty())
        .map(|address| address.interface.clone())
        .collect();
    all.retain(|address| !link_local(address.ip) || !others.contains(&address.interface));
    all
}

/// The host networks an address belongs to: those whose prefix and interface fit; else `default` on the client's interface.
fn networks(config: &Config, standard: Option<&str>, interface: &str, ip: IpAddr) -> Vec<String> {
    let fits = |network: &HostNetwork| {
        (network.cidr.is_empty() || network.cidr.iter().any(|prefix| contains(prefix, ip)))
            && network.interface.as_deref().is_none_or(|wanted| wanted == interface)
    };
    let named: Vec<String> =
        config.host_networks.iter().filter(|(_, network)| fits(network)).map(|(name, _)| name.clone()).collect();
    if !named.is_empty() {
        return named;
    }
    if standard == Some(interface) { vec!["default".to_owned()] } else { Vec::new() }
}

/// Whether a prefix, `10.0.0.0/8`, has an address.
fn contains(prefix: &str, ip: IpAddr) -> bool {
    let Some((network, length)) = prefix.trim().split_once('/') else { return false };
    let (Ok(network), Ok(length)) = (network.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)) << 96, 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    let ((have, width), (want, of)) = (bits(ip), bits(network));
    width == of && length <= width && (length == 0 || (have ^ want) >> (128 - length) == 0)
}

fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The interface of the default route.
fn default_interface() -> Option<String> {
    let routes = std::fs::read_to_string("/proc/net/route").ok()?;
    let mut rows = routes.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.find(|row| row.get(1) == Some(&"00000000")).and_then(|row| row.first().map(|name| (*name).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_network_takes_the_place_of_default() {
        let text = r#"{"data_dir":"/x","client":{"enabled":true,"network_interface":"bond0",
            "host_network":[{"default":{"cidr":"10.0.0.0/8"}},{"public":{"cidr":"147.75.0.0/16,2604::/16"}}]}}"#;
        let config = super::super::config::parse(text).unwrap();
        let of = |interface: &str, ip: &str| networks(&config, Some("bond0"), interface, ip.parse().unwrap());
        assert_eq!(of("bond0", "10.1.2.3"), ["default"]);
        assert_eq!(of("bond0", "147.75.1.1"), ["public"]);
        assert_eq!(of("lo", "2604::1"), ["public"]);
        assert_eq!(of("bond0", "192.0.2.1"), ["default"]);
        assert_eq!(of("lo", "127.0.0.1"), Vec::<String>::new());
    }

    #[test]
    fn prefixes_hold_their_addresses() {
        assert!(contains("0.0.0.0/0", IpAddr::from([1, 2, 3, 4])) && contains("::1/128", "::1".parse().unwrap()));
        assert!(!contains("10.0.0.0/8", "::1".parse().unwrap()) && !contains("bad", IpAddr::from([1, 2, 3, 4])));
    }
}
