//! GoBGP as a neighbour: its configuration, and what it says to its own client.
//! May not listen anywhere but at BGP's port and on a socket in the folder.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::str::FromStr as _;

use anyhow::{Context as _, bail};
use bgpkit_parser::encoder::MrtRibEncoder;
use bgpkit_parser::models::{AsPath, BgpElem, NetworkPrefix, Origin};
use serde_json::{Value, json};

use super::{Route, Session, ask, ask_json, below};
use crate::topology::{EDGE_ASN, NODE_ASN, Topology};

pub(super) const CONFIG: &str = "gobgpd.json";
const SOCKET: &str = "api.sock";

pub(super) fn command(topology: &Topology, folder: &Path) -> Command {
    let mut command = topology.edge.command("gobgpd");
    command.args(["--config-type", "json", "--config-file"]).arg(below(folder, CONFIG));
    command.arg("--api-hosts").arg(target(folder)).arg("--pprof-disable");
    command
}

fn target(folder: &Path) -> String {
    format!("unix://{}", below(folder, SOCKET).display())
}

pub(super) fn config(session: &Session) -> String {
    let neighbour = |family: u8| {
        json!({
            "config": {"neighbor-address": session.node(family), "peer-as": NODE_ASN,
                "auth-password": session.password.as_deref().unwrap_or_default()},
            "ebgp-multihop": {"config": {"enabled": true, "multihop-ttl": 5}},
            "transport": {"config": {"local-address": session.address(family)}},
            "timers": {"config": {"connect-retry": 1, "idle-hold-time-after-reset": 1}},
            "afi-safis": [{"config": {"afi-safi-name": format!("ipv{family}-unicast")}}],
        })
    };
    let addresses = [session.address(4), session.address(6)];
    json!({
        "global": {"config": {"as": EDGE_ASN, "router-id": session.address(4), "local-address-list": addresses}},
        "neighbors": [neighbour(4), neighbour(6)],
    })
    .to_string()
}

/// Announces everything at once, from a table in MRT form (RFC 6396): its client takes single prefixes one after the other. GoBGP 3.10's client
/// ends before the daemon has read all of a long table, and what was not read is lost: so it is told again, until it has them all. The order
/// of a table differs from one to the next, so another end is lost each time.
pub(super) fn announce(folder: &Path, session: &Session) -> anyhow::Result<()> {
    const ROUNDS: usize = 20;
    let path = below(folder, "table.mrt");
    for _ in 0..ROUNDS {
        let missing = [4, 6]
            .into_iter()
            .map(|family| Ok(session.announced(family).count().saturating_sub(known(folder, family)?)));
        if missing.sum::<anyhow::Result<usize>>()? == 0 {
            return Ok(());
        }
        std::fs::write(&path, table(session)?)?;
        ask(client(folder).args(["mrt", "inject", "global"]).arg(&path))?;
    }
    bail!("telling GoBGP what to announce: it does not have everything after {ROUNDS} times")
}

fn table(session: &Session) -> anyhow::Result<Vec<u8>> {
    let mut table = MrtRibEncoder::new();
    for family in [4, 6] {
        let own = IpAddr::from_str(session.address(family))?;
        for prefix in session.announced(family) {
            table.process_elem(&BgpElem {
                timestamp: 1.0,
                peer_ip: own,
                peer_asn: EDGE_ASN.into(),
                prefix: NetworkPrefix::from_str(prefix).with_context(|| format!("reading {prefix}"))?,
                next_hop: Some(own),
                as_path: Some(AsPath::new()),
                origin: Some(Origin::IGP),
                ..BgpElem::default()
            })?;
        }
    }
    Ok(table.export_bytes()?.to_vec())
}

/// How many prefixes of a family it has, its own among them.
fn known(folder: &Path, family: u8) -> anyhow::Result<usize> {
    let said = ask(client(folder).args(["global", "rib", "summary", "-a", &format!("ipv{family}")]))?;
    let count = said.split("Destination: ").nth(1).and_then(|rest| rest.split(',').next());
    count
        .with_context(|| format!("counting GoBGP's prefixes: it says {said}"))?
        .parse()
        .context("counting GoBGP's prefixes")
}

fn client(folder: &Path) -> Command {
    let mut command = Command::new("gobgp");
    command.arg("--target").arg(target(folder));
    command
}

pub(super) fn established(folder: &Path, node: &str) -> anyhow::Result<bool> {
    let said = ask_json(client(folder).args(["neighbor", node, "-j"]))?;
    // A number of its own (`api/gobgp.proto`, PeerState.SessionState): 6 is ESTABLISHED.
    let state = &said["state"]["session_state"];
    Ok(state == 6)
}

pub(super) fn routes(folder: &Path, family: u8, node: &str) -> anyhow::Result<Vec<Route>> {
    if !established(folder, node)? {
        return Ok(Vec::new());
    }
    let said = ask_json(client(folder).args(["neighbor", node, "adj-in", "-a", &format!("ipv{family}"), "-j"]))?;
    let prefixes = said.as_object().into_iter().flatten();
    Ok(prefixes
        .flat_map(|(prefix, paths)| paths.as_array().into_iter().flatten().map(move |path| read(prefix, path)))
        .collect())
}

/// Reads a path, whose attributes are a list with each its type (RFC 4271 section 5; 14 is RFC 4760).
fn read(prefix: &str, path: &Value) -> Route {
    let attribute = |kind: u64| path["attrs"].as_array().into_iter().flatten().find(move |found| found["type"] == kind);
    let number = |value: &Value| u32::try_from(value.as_u64().unwrap_or_default()).unwrap_or_default();
    let segments = attribute(2).and_then(|found| found["as_paths"].as_array()).into_iter().flatten();
    let communities = attribute(8).and_then(|found| found["communities"].as_array()).into_iter().flatten();
    let next_hop = attribute(3).or_else(|| attribute(14)).and_then(|found| found["nexthop"].as_str());
    Route {
        prefix: prefix.to_owned(),
        next_hop: next_hop.unwrap_or_default().to_owned(),
        as_path: segments.flat_map(|part| part["asns"].as_array().into_iter().flatten()).map(number).collect(),
        communities: communities.map(number).map(|word| format!("{}:{}", word >> 16, word & 0xffff)).collect(),
    }
}
