//! BIRD 2 as a neighbour: its configuration, and what it says on its control socket.
//! May not be used for the node's own BIRD, which runs from the rendered file.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use super::{Route, Session, ask, below};
use crate::topology::{EDGE_ASN, NODE_ASN, Topology};

pub(super) const CONFIG: &str = "bird.conf";
const SOCKET: &str = "bird.ctl";

pub(super) fn command(topology: &Topology, folder: &Path) -> Command {
    let mut command = topology.edge.command("bird");
    command.arg("-f").arg("-c").arg(below(folder, CONFIG));
    command.arg("-s").arg(below(folder, SOCKET)).arg("-P").arg(below(folder, "pid"));
    command
}

pub(super) fn config(session: &Session) -> String {
    let mut text = format!("log stderr all;\nrouter id {};\nprotocol device {{}}\n", session.address(4));
    let password = session.password.as_ref().map(|word| format!("  password \"{word}\";\n")).unwrap_or_default();
    for family in [4, 6] {
        let mut routes = String::new();
        for prefix in session.announced(family) {
            _ = writeln!(routes, "  route {prefix} blackhole;");
        }
        _ = write!(
            text,
            "protocol static own{family} {{\n  ipv{family};\n{routes}}}\n\
             protocol bgp node{family} {{\n  local {} as {EDGE_ASN};\n  neighbor {} as {NODE_ASN};\n  multihop 5;\n  strict bind yes;\n  \
             connect delay time 1;\n  connect retry time 1;\n  error wait time 1, 1;\n{password}  \
             ipv{family} {{ import all; export where proto = \"own{family}\"; }};\n}}\n",
            session.address(family),
            session.node(family),
        );
    }
    if session.of_other {
        // The node's address is on the link, which it only knows by this.
        text += "protocol direct {\n  ipv4;\n  ipv6;\n}\n";
        for family in [4, 6] {
            let from = format!("where proto = \"node{family}\"");
            _ = writeln!(
                text,
                "protocol kernel kernel{family} {{ metric 1; ipv{family} {{ import none; export {from}; }}; }}"
            );
        }
    }
    text
}

fn birdc(folder: &Path, words: &[&str]) -> anyhow::Result<String> {
    ask(Command::new("birdc").arg("-s").arg(below(folder, SOCKET)).args(words))
}

pub(super) fn established(folder: &Path, family: u8) -> anyhow::Result<bool> {
    Ok(birdc(folder, &["show", "protocols", &format!("node{family}")])?.contains("Established"))
}

pub(super) fn routes(folder: &Path, family: u8) -> anyhow::Result<Vec<Route>> {
    Ok(read(&birdc(folder, &["show", "route", "all", "protocol", &format!("node{family}")])?))
}

/// Reads `show route all`: a prefix at the beginning of a line, then its attributes, each on a line of its own.
fn read(text: &str) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !line.starts_with(char::is_whitespace) && first.contains('/') {
            let (prefix, empty) = (first.to_owned(), String::new());
            routes.push(Route { prefix, next_hop: empty, as_path: Vec::new(), communities: Vec::new() });
            continue;
        }
        let Some((route, (key, value))) = routes.last_mut().zip(line.trim().split_once(": ")) else { continue };
        match key {
            "BGP.as_path" => route.as_path = value.split(' ').filter_map(|asn| asn.parse().ok()).collect(),
            // The second address is a link-local one.
            "BGP.next_hop" => value.split(' ').next().unwrap_or_default().clone_into(&mut route.next_hop),
            "BGP.community" => {
                route.communities = value
                    .split(") (")
                    .map(|pair| pair.trim_matches(['(', ')']).replace(", ", ":").replace(',', ":"))
                    .collect();
            }
            _ => {}
        }
    }
    routes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bird_says_of_a_route_is_read() {
        let said = "BIRD 2.0.12 ready.\nTable master4:\n198.51.100.7/32      unicast [node4 10:00:00.000] * (100) [AS65000i]\n\tvia 10.66.142.17 on edge0\n\tType: BGP univ\n\tBGP.origin: IGP\n\tBGP.as_path: 65000\n\tBGP.next_hop: 10.66.142.17\n\tBGP.local_pref: 100\n\tBGP.community: (54825,222) (65535,0)";
        let communities = vec!["54825:222".to_owned(), "65535:0".to_owned()];
        let expected = Route {
            prefix: "198.51.100.7/32".into(),
            next_hop: "10.66.142.17".into(),
            as_path: vec![65000],
            communities,
        };
        assert_eq!(read(said), [expected]);
    }
}
