//! `guard`: when a node announces the site's prefixes, and when it stops.
//! May not judge a canary: `canary` does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use anymetal_contract::plan::{Guard, Quorum};

use super::access::OURS;
use super::canary;
use super::network::community;
use crate::site::diagnostic::{Complaint, Findings, quoted};
use crate::site::fields::{self, Fields};
use crate::site::model::Tls;
use crate::site::name;
use crate::site::yaml::{Kind, Node};

/// The longest that a node may take to notice that it no longer serves without a word about it, in seconds.
const SLOW: u32 = 60;
/// Ports on the loopback that others of the platform listen on, besides [`OURS`].
const TAKEN: [(u16, &str); 3] = [(3030, "Bindle's"), (5309, "Hippo's"), (8081, "Traefik's")];
/// Where Nomad puts applications: its `min_dynamic_port` and `max_dynamic_port`.
const APPLICATIONS: RangeInclusive<u16> = 20_000..=32_000;

/// What the rest of the site says that bears on the guard.
pub(super) struct Beside<'s> {
    /// The communities that are always attached.
    pub communities: &'s [String],
    /// Whether an address is one that the nodes announce.
    pub anycast: &'s dyn Fn(IpAddr) -> bool,
    /// How Traefik, when the site has it, gets certificates.
    pub traefik: Option<&'s Tls>,
}

/// `guard`; what is not said is as [`Guard::default`] has it.
pub(super) fn guard(node: Option<&Node>, beside: &Beside<'_>, findings: &mut Findings) -> Guard {
    let mut guard = Guard::default();
    let Some((node, mut fields)) =
        node.and_then(|node| Some((node, Fields::of(node, "guard", "guard: {interval: 2, fall: 2}", findings)?)))
    else {
        return guard;
    };
    let fast = fields.written("fast_interval");
    for (key, range, value) in [
        ("interval", 1..=60, &mut guard.interval),
        ("fast_interval", 1..=60, &mut guard.fast_interval),
        ("timeout", 1..=30, &mut guard.timeout),
        ("rise", 1..=20, &mut guard.rise),
        ("fall", 1..=20, &mut guard.fall),
        ("grace", 0..=60, &mut guard.grace),
        ("drain", 0..=600, &mut guard.drain),
    ] {
        let number = fields.take(key, findings);
        let number = number.and_then(|node| fields::number(node, &format!("`guard.{key}`"), range, findings));
        *value = number.and_then(|number| u32::try_from(number).ok()).unwrap_or(*value);
    }
    if let (Some(at), true) = (fast, guard.fast_interval > guard.interval) {
        let Guard { interval, fast_interval, .. } = guard;
        let what =
            format!("`guard.fast_interval` is {fast_interval} seconds, longer than `guard.interval` with {interval}");
        findings.mistake(at, what, "it is for looking closer: write one that is as short or shorter");
    }
    // Whoever is not there fails at once, whoever hangs when its time is over.
    let worst = guard.interval + guard.timeout + (guard.fall - 1) * guard.fast_interval.max(guard.timeout);
    if worst > SLOW {
        let what = format!("a node that no longer serves may go on announcing for {worst} seconds");
        let hint = "make `interval`, `fast_interval`, `fall` or `timeout` smaller unless that is what you want";
        findings.warning(node.at, what, hint);
    }
    if let Some(node) = fields.take("metrics", findings) {
        guard.metrics = metrics(node, findings).unwrap_or(guard.metrics);
    }
    let canaries = fields.take("canaries", findings);
    guard.canaries = canaries.map(|node| canary::canaries(node, beside.traefik, findings)).unwrap_or_default();
    if let Some(node) = fields.take("quorum", findings) {
        guard.quorum = quorum(node, beside, findings);
        if canaries.is_none_or(|node| matches!(&node.kind, Kind::Sequence(items) if items.is_empty())) {
            let what = "`guard.quorum` has no canary to ask the other nodes for";
            findings.mistake(node.at, what, "add `guard.canaries`, or remove it: without one a node stops by itself");
        }
    }
    fields.end(&[&[("community", "guard.quorum")][..], &super::HOMES].concat(), findings);
    guard
}

/// A port that nobody else on the node listens on.
fn metrics(node: &Node, findings: &mut Findings) -> Option<u16> {
    let number = fields::number(node, "`guard.metrics`", 1024..=u64::from(u16::MAX), findings)?;
    let port = u16::try_from(number).ok()?;
    let taken = OURS.iter().chain(&TAKEN).find(|(taken, _)| *taken == port);
    let whose = match taken {
        Some((_, whose)) => (*whose).to_owned(),
        None if APPLICATIONS.contains(&port) => {
            format!("among those of applications, {} to {}", APPLICATIONS.start(), APPLICATIONS.end())
        }
        None => return Some(port),
    };
    let hint = format!("write another one, or remove the line: the default is {}", Guard::default().metrics);
    findings.mistake(node.at, format!("port {port} is {whose}"), hint);
    None
}

/// `guard.quorum`.
fn quorum(node: &Node, beside: &Beside<'_>, findings: &mut Findings) -> Option<Quorum> {
    let example = "quorum: {nodes: [n1.example.org], community: \"65000:50\"}";
    let mut fields = Fields::of(node, "guard.quorum", example, findings)?;
    let nodes = fields.need("nodes", "name the other nodes, as in `nodes: [n1.example.org, n2.example.org]`", findings);
    let nodes = nodes.and_then(|node| nodes_of(node, beside, findings));
    let hint = "write the one that the network takes for a lower preference, as in `community: \"65000:50\"`";
    let community = fields.need("community", hint, findings).and_then(|node| {
        let community = community(node, findings)?;
        if beside.communities.contains(&community) {
            let what = format!("`{community}` is among `bgp.communities`, so it is attached always");
            findings.mistake(node.at, what, "take it out there, or write one that only the last node shall have");
            return None;
        }
        Some(community)
    });
    fields.end(&super::HOMES, findings);
    Some(Quorum { nodes: nodes?, community: community? })
}

/// Names and addresses of nodes, none twice.
fn nodes_of(node: &Node, beside: &Beside<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    let items = fields::list(node, "guard.quorum.nodes", "nodes: [n1.example.org, n2.example.org]", findings)?;
    if items.is_empty() {
        let hint = "name the other nodes, or remove `quorum`: with nobody to ask there is none";
        findings.mistake(node.at, "`guard.quorum.nodes` names no node", hint);
    }
    let mut seen = BTreeMap::new();
    let mut nodes = Vec::new();
    for item in items {
        let Some(text) = fields::text(item, "a node", findings) else { continue };
        let Some(node) = findings.keep(item.at, other_node(text, beside.anycast)) else { continue };
        if let Some(first) = seen.insert(node.clone(), item.at) {
            findings.mistake(item.at, format!("`{node}` is given twice, first at {first}"), "keep one of them");
            continue;
        }
        nodes.push(node);
    }
    Some(nodes)
}

/// A node's own name, or its address.
fn other_node(text: &str, anycast: &dyn Fn(IpAddr) -> bool) -> Result<String, Complaint> {
    match text.parse::<IpAddr>() {
        Ok(address) if anycast(address) => {
            let what = format!("`{address}` is an anycast address: every node that asks there asks itself");
            Err(Complaint::new(what, "write an address that only this node has"))
        }
        Ok(address) => Ok(address.to_string()),
        Err(_) if name::host_name(text) => Ok(text.to_lowercase()),
        Err(_) => Err(Complaint::new(
            format!("{} is neither the name nor the address of a node", quoted(text)),
            "write it like `n1.example.org` or `198.51.100.7`, without a port",
        )),
    }
}
