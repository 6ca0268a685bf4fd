//! The closed list of names templates may use, with what each means.
//! May not hold values: `init/src/facts/` makes those, as a pure function of plan, metadata and machine.

/// One name, and what it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// As a template writes it.
    pub name: &'static str,
    /// Its shape and meaning.
    pub what: &'static str,
    /// Whether every node has it; the others depend on what the platform says.
    pub always: bool,
}

const fn always(name: &'static str, what: &'static str) -> Name {
    Name { name, what, always: true }
}

const fn perhaps(name: &'static str, what: &'static str) -> Name {
    Name { name, what, always: false }
}

/// All names.
pub const NAMES: &[Name] = &[
    always("site", "text: the site's name"),
    always("platform", "text: the platform's name"),
    always("domain", "text: the name the platform answers under"),
    always("node", "text: the node's hostname"),
    always("arch", "text: x86_64 or aarch64"),
    always("anycast4", "list of text: the site's IPv4 prefixes"),
    always("anycast6", "list of text: the site's IPv6 prefixes"),
    always("communities", "list of text: communities asked for, as `asn:value`"),
    always(
        "components",
        "map: component name to {version, dir, features}; dir is where it is installed, through `current`; features are words",
    ),
    always("domains", "list of text: the names the platform answers under on this node: `domain`, then the node's own"),
    always("hippo", "map: registration (as Hippo writes it), administrator"),
    always("tls", "map: mode (none, acme, files); email, dns_provider; certificate, key"),
    always(
        "expose",
        "text: `plain` when Hippo and Bindle are to be reachable from outside without certificates; otherwise empty",
    ),
    always("firewall", "map: ssh4, ssh6 (prefixes), tcp, udp (ports)"),
    always(
        "guard",
        "map: interval, fast_interval, timeout, grace, drain (seconds), rise, fall (rounds), metrics (port); quorum {nodes, community}, when the site has one",
    ),
    always(
        "metadata_service",
        "list of {family (4 or 6), address, ports}: where the machine's metadata, which holds secrets, is",
    ),
    always("resolvers", "list of {family (4 or 6), address}: the name servers that the machine's programs ask"),
    perhaps("node_id", "text: the platform's own id of this machine"),
    perhaps("metro", "text: where it stands, as the platform names it"),
    perhaps("facility", "text: the building, as the platform names it"),
    perhaps("private4", "text: the private IPv4 management address, without a length"),
    perhaps("private_gateway4", "text: the gateway of `private4`"),
    perhaps(
        "private_subnets",
        "list of text: prefixes of the private network; those off the link are reached through `private_gateway4`",
    ),
    perhaps("public4", "text: the public IPv4 management address"),
    perhaps("public_gateway4", "text: the gateway of `public4`"),
    perhaps("public6", "text: the public IPv6 management address"),
    perhaps("public_gateway6", "text: the gateway of `public6`"),
    perhaps("router_id", "text: an IPv4 address of this node, unique in the network"),
    perhaps(
        "neighbours",
        "list of {name, family (4 or 6), address, asn, local_asn, source (empty = the interface's own link-local address), interface (empty = not said), multihop (hops; 1 = on-link), password (empty = none)}",
    ),
    perhaps("neighbour_routes", "list of {family (4 or 6), prefix, via}: how to reach neighbours that are not on-link"),
];

/// The name, when it is one of ours.
pub fn named(name: &str) -> Option<&'static Name> {
    NAMES.iter().find(|fact| fact.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        for fact in NAMES {
            assert_eq!(NAMES.iter().filter(|other| other.name == fact.name).count(), 1, "{} stands twice", fact.name);
        }
    }
}
