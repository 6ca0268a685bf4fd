//! A node and its edge router: two networks with one cable between them, addressed as on Equinix Metal. On demand a second node beside it.
//! May not touch any other network. Needs root.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;

use crate::namespace::{Namespace, host};

/// The node's private address, from which it speaks BGP over IPv4: of `tests/metadata/v4-v6.json`, as all that follow.
pub const NODE4: &str = "10.66.142.17";
/// The node's public address, from which it speaks BGP over IPv6.
pub const NODE6: &str = "2001:db8:45d1:fd00::11";
/// The same of the second node.
pub const OTHER4: &str = "10.66.142.19";
/// The same for IPv6.
pub const OTHER6: &str = "2001:db8:45d1:fd00::13";
/// The gateways, which are the edge's end of the cable.
pub const GATEWAY4: &str = "10.66.142.16";
/// The same for IPv6.
pub const GATEWAY6: &str = "2001:db8:45d1:fd00::10";
const OTHER_GATEWAY4: &str = "10.66.142.18";
const OTHER_GATEWAY6: &str = "2001:db8:45d1:fd00::12";
/// Where the neighbours are: not on the link, so reached by a route over the gateway.
pub const NEIGHBOURS4: [&str; 2] = ["169.254.255.1", "169.254.255.2"];
/// The same for IPv6.
pub const NEIGHBOURS6: [&str; 2] = ["fc00::e", "fc00::f"];
/// The autonomous system of the node.
pub const NODE_ASN: u32 = 65_000;
/// The autonomous system of the neighbours.
pub const EDGE_ASN: u32 = 65_530;
/// The edge's end of the cable.
pub const EDGE_PORT: &str = "edge0";
/// The node's end of the cable.
pub const NODE_PORT: &str = "node0";

/// The edge's end of the second node's cable, and that node's.
const OTHER_PORTS: [&str; 2] = ["edge1", NODE_PORT];

/// The networks; they go when it is dropped.
pub struct Topology {
    /// The machine: whatever runs on it runs here.
    pub node: Namespace,
    /// The second machine, where there is one.
    pub other: Option<Namespace>,
    /// The router beside it, which forwards, and on whose loopback both neighbours are.
    pub edge: Namespace,
}

impl Topology {
    /// Whether this process may make one. When it may not, the sentence says why.
    pub fn possible() -> Result<(), String> {
        if nix::unistd::geteuid().is_root() {
            Ok(())
        } else {
            Err("two networks need root for their namespaces".into())
        }
    }

    /// Both networks, the cable and its addresses; nobody speaks BGP yet, and the node knows no way to the neighbours.
    pub fn new() -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |role| format!("am{role}-{}-{number}", std::process::id());
        let topology = Self { node: Namespace::new(name("node"))?, other: None, edge: Namespace::new(name("edge"))? };
        let Self { node, edge, .. } = &topology;
        host(
            &[
                &["ip", "-n", node.name(), "link", "add", NODE_PORT, "type", "veth"][..],
                &["peer", "name", EDGE_PORT, "netns", edge.name()],
            ]
            .concat(),
        )?;
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            set(edge, key, "1")?;
        }
        // Their link-local addresses are there at once, too: routes that come by themselves later would look like somebody's doing.
        for (namespace, port) in [(node, NODE_PORT), (edge, EDGE_PORT)] {
            set(namespace, &format!("ipv6/conf/{port}/accept_dad"), "0")?;
        }
        node.ip(&["link", "set", NODE_PORT, "up"])?;
        edge.ip(&["link", "set", EDGE_PORT, "up"])?;
        address(node, &format!("{NODE4}/31"), NODE_PORT)?;
        address(node, &format!("{NODE6}/127"), NODE_PORT)?;
        address(edge, &format!("{GATEWAY4}/31"), EDGE_PORT)?;
        address(edge, &format!("{GATEWAY6}/127"), EDGE_PORT)?;
        for neighbour in NEIGHBOURS4 {
            address(edge, &format!("{neighbour}/32"), "lo")?;
        }
        for neighbour in NEIGHBOURS6 {
            address(edge, &format!("{neighbour}/128"), "lo")?;
        }
        Ok(topology)
    }

    /// The same with a second node, and with the edge as everybody's way to the rest of the world, as it is for real machines.
    pub fn with_two_nodes() -> anyhow::Result<Self> {
        let mut topology = Self::new()?;
        let other = Namespace::new(topology.node.name().replace("amnode", "amother"))?;
        let (edge, [far, near]) = (&topology.edge, OTHER_PORTS);
        host(
            &[
                &["ip", "-n", other.name(), "link", "add", near, "type", "veth"][..],
                &["peer", "name", far, "netns", edge.name()],
            ]
            .concat(),
        )?;
        for (namespace, port) in [(&other, near), (edge, far)] {
            set(namespace, &format!("ipv6/conf/{port}/accept_dad"), "0")?;
            namespace.ip(&["link", "set", port, "up"])?;
        }
        for (own, gateway, length) in [(OTHER4, OTHER_GATEWAY4, 31), (OTHER6, OTHER_GATEWAY6, 127)] {
            address(&other, &format!("{own}/{length}"), near)?;
            address(edge, &format!("{gateway}/{length}"), far)?;
        }
        for (node, gateways) in [(&topology.node, [GATEWAY4, GATEWAY6]), (&other, [OTHER_GATEWAY4, OTHER_GATEWAY6])] {
            for gateway in gateways {
                node.ip(&["route", "add", "default", "via", gateway])?;
            }
        }
        topology.other = Some(other);
        Ok(topology)
    }
}

/// Duplicate address detection would take a second in which an address cannot be used; only IPv6 knows it.
fn address(namespace: &Namespace, address: &str, device: &str) -> anyhow::Result<()> {
    let detection: &[&str] = if address.contains(':') { &["nodad"] } else { &[] };
    namespace.ip(&[&["address", "add", address, "dev", device], detection].concat())
}

fn set(namespace: &Namespace, key: &str, value: &str) -> anyhow::Result<()> {
    // A network has its own values, but only who is in it sees them.
    let path = format!("/proc/sys/net/{key}");
    namespace.inside(|| std::fs::write(&path, value)).with_context(|| format!("writing {path}"))
}
