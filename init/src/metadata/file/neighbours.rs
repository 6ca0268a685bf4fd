//! The neighbours of a machine's own document: who is spoken to, from which address, on which way.
//! May not stop at the first mistake, and may not quote a password.

use std::net::IpAddr;

use super::super::findings::Findings;
use super::super::node::Node;
use super::super::sessions::Sessions;
use super::super::{Family, Machine, Management, Neighbour, Way};
use super::fields::{self, Fields};
use crate::bird;
use crate::secret::Secret;

/// All AS numbers that can be written; 0 and the last are nobody's (RFC 7607, RFC 7300).
const ASNS: std::ops::RangeInclusive<u64> = 1..=0xFFFF_FFFE;

/// The neighbours. Where the machine's addresses are not `sound`, nothing is said of who is on which link: it would mislead.
pub(super) fn read(machine: &Machine, sound: bool, node: &Node, findings: &mut Findings) -> Vec<Neighbour> {
    let links = sound.then(|| links(machine));
    let mut sessions = Sessions::default();
    for (at, node) in fields::list("neighbours", node, findings) {
        if let Some(neighbour) = neighbour(&at, node, links.as_deref(), findings) {
            sessions.add(&at, neighbour, findings);
        }
    }
    sessions.all()
}

/// Where the machine is.
fn links(machine: &Machine) -> Vec<Management<IpAddr>> {
    let v4 = machine.private4.into_iter().chain(machine.public4).map(Management::any);
    v4.chain(machine.public6.map(Management::any)).collect()
}

fn neighbour(
    at: &str,
    node: &Node,
    links: Option<&[Management<IpAddr>]>,
    findings: &mut Findings,
) -> Option<Neighbour> {
    let mut fields = Fields::of(at, node, findings)?;
    let address = fields.need("address", findings);
    let address = address.and_then(|node| ip(&fields, "address", node, findings));
    let asn = asn(&mut fields, "asn", findings);
    let local_asn = self::asn(&mut fields, "local_asn", findings);
    let source = fields.take("source").map(|node| ip(&fields, "source", node, findings));
    let hops = fields.take("multihop").map(|node| fields.number("multihop", node, 1..=255, findings));
    let gateway = fields.take("gateway").map(|node| ip(&fields, "gateway", node, findings));
    let password = fields.take("password").map(|node| password(at, node, findings));
    fields.end(findings);
    // What was given and is wrong has been named; nothing is made up in its place.
    if source == Some(None) || hops == Some(None) || gateway == Some(None) || password == Some(None) {
        return None;
    }
    let (address, asn, local_asn, links) = (address?, asn?, local_asn?, links?);
    let link = link(at, address, source.flatten(), links, findings)?;
    let near = link.on_link(address);
    let multihop = multihop(at, address, &link, hops.flatten(), findings)?;
    let way = match (near, gateway.flatten()) {
        (true, None) => Way::OnLink,
        (true, Some(_)) => {
            findings.problem(at, "has a gateway, but is on the link itself: leave the gateway out");
            return None;
        }
        (false, given) => behind(at, &link, given, links, findings)?,
    };
    Some(Neighbour {
        family: Family::of(address),
        address,
        asn,
        local_asn,
        source: link.address,
        multihop,
        way,
        password: password.flatten(),
        accepts: None,
    })
}

fn ip(fields: &Fields<'_>, key: &str, node: &Node, findings: &mut Findings) -> Option<IpAddr> {
    let text = fields::text(fields.place(key), node, findings)?;
    findings.parse(fields.place(key), text, "an IP address")
}

fn asn(fields: &mut Fields<'_>, key: &'static str, findings: &mut Findings) -> Option<u32> {
    let node = fields.need(key, findings)?;
    let number = fields.number(key, node, ASNS, findings)?;
    u32::try_from(number).ok()
}

fn password(at: &str, node: &Node, findings: &mut Findings) -> Option<Secret> {
    let Node::Text(text) = node else {
        findings.problem(at, "has a password that is not a text");
        return None;
    };
    match bird::unusable(text) {
        None => Some(Secret::new(text.clone())),
        Some(fault) => {
            findings.problem(at, format_args!("has a password {fault}"));
            None
        }
    }
}

/// The machine's link the session comes from.
fn link(
    at: &str,
    neighbour: IpAddr,
    source: Option<IpAddr>,
    links: &[Management<IpAddr>],
    findings: &mut Findings,
) -> Option<Management<IpAddr>> {
    if let Some(source) = source {
        let link = links.iter().find(|link| link.address == source);
        if link.is_none() {
            findings.problem(at, format_args!("has the source {source}, which is none of the machine's addresses"));
        } else if Family::of(source) != Family::of(neighbour) {
            findings.problem(at, format_args!("has the source {source}, which cannot speak to {neighbour}"));
            return None;
        }
        return link.copied();
    }
    let near: Vec<_> = links.iter().filter(|link| link.on_link(neighbour)).collect();
    match near[..] {
        [link] => return Some(*link),
        [] => findings.problem(
            at,
            format_args!("has no source, and {neighbour} is on none of the machine's links: say which address the session comes from"),
        ),
        _ => findings.problem(
            at,
            format_args!("has no source, and {neighbour} is on several of the machine's links: say which address the session comes from"),
        ),
    }
    None
}

fn multihop(
    at: &str,
    neighbour: IpAddr,
    link: &Management<IpAddr>,
    hops: Option<u64>,
    findings: &mut Findings,
) -> Option<u8> {
    let off = |what: &str| format!("{what}, but {neighbour} is not on the link of {}/{}", link.address, link.length);
    match (hops, link.on_link(neighbour)) {
        (None, true) => return Some(1),
        (None, false) => findings.problem(at, off("has no multihop") + ": say how many hops it may be away"),
        (Some(1), false) => findings.problem(at, off("has multihop 1") + ": say how many hops it may be away"),
        (Some(hops), _) => return u8::try_from(hops).ok(),
    }
    None
}

/// The way to a neighbour that is not on the link: by its own gateway, or by the link's.
fn behind(
    at: &str,
    link: &Management<IpAddr>,
    given: Option<IpAddr>,
    links: &[Management<IpAddr>],
    findings: &mut Findings,
) -> Option<Way> {
    let on_a_link = |gateway: IpAddr| links.iter().any(|link| link.on_link(gateway) && link.address != gateway);
    match (given, link.gateway) {
        (Some(gateway), _) if on_a_link(gateway) && Family::of(gateway) == Family::of(link.address) => {
            return Some(Way::Via(gateway));
        }
        (Some(gateway), _) => findings.problem(
            at,
            format_args!(
                "has the gateway {gateway}, which is on none of the machine's links: leave it out for the default route"
            ),
        ),
        (None, Some(gateway)) => {
            return Some(if on_a_link(gateway) { Way::Via(gateway) } else { Way::Default });
        }
        (None, None) => findings.problem(
            at,
            format_args!("is not on the link, and neither it nor the address {} has a gateway", link.address),
        ),
    }
    None
}
