//! The neighbours of a machine's own document: who is spoken to, from which address, on which way.
//! May not stop at the first mistake, and may not quote a password.

use std::net::IpAddr;

use super::super::findings::Findings;
use super::super::machine::is_link_local;
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
    let interface = fields.take("interface").map(|node| interface(at, node, findings));
    let asn = asn(&mut fields, "asn", findings);
    let local_asn = self::asn(&mut fields, "local_asn", findings);
    let source = fields.take("source").map(|node| ip(&fields, "source", node, findings));
    let hops = fields.take("multihop").map(|node| fields.number("multihop", node, 1..=255, findings));
    let gateway = fields.take("gateway").map(|node| ip(&fields, "gateway", node, findings));
    let password = fields.take("password").map(|node| password(at, node, findings));
    fields.end(findings);
    // What was given and is wrong has been named; nothing is made up in its place.
    let wrong = [source == Some(None), hops == Some(None), gateway == Some(None), interface == Some(None)];
    if wrong.contains(&true) || password == Some(None) {
        return None;
    }
    let ((address, zone), asn, local_asn, links) = (address?, asn?, local_asn?, links?);
    let (source, own_zone) = source.flatten().unzip();
    let interfaces = [interface.flatten(), zone, own_zone.flatten()];
    let said = Said { address, source, interfaces, hops: hops.flatten(), gateway: gateway.flatten().map(|(ip, _)| ip) };
    let path = if is_link_local(address) {
        on_interface(at, said, links, findings)?
    } else {
        path(at, said, links, findings)?
    };
    Some(Neighbour {
        family: Family::of(address),
        address,
        asn,
        local_asn,
        source: path.source,
        interface: path.interface,
        multihop: path.multihop,
        way: path.way,
        password: password.flatten(),
        accepts: None,
    })
}

/// What a document says of where a neighbour is.
struct Said {
    address: IpAddr,
    source: Option<IpAddr>,
    /// By its key, behind the address, and behind the source.
    interfaces: [Option<String>; 3],
    hops: Option<u64>,
    gateway: Option<IpAddr>,
}

/// From where a session comes and how it goes.
struct Path {
    source: Option<IpAddr>,
    interface: Option<String>,
    multihop: u8,
    way: Way,
}

/// The path to a neighbour that is link-local: by an interface, and by nothing else.
fn on_interface(at: &str, said: Said, links: &[Management<IpAddr>], findings: &mut Findings) -> Option<Path> {
    let Said { address, source, interfaces, hops, gateway } = said;
    let mut named = interfaces.into_iter().flatten();
    let Some(interface) = named.next() else {
        let what = format_args!(
            "has the link-local address {address} and no interface: say which one it is on, `\"interface\": \"eth0\"`, or write {address}%eth0"
        );
        findings.problem(at, what);
        return None;
    };
    let before = findings.count();
    if let Some(other) = named.find(|other| *other != interface) {
        findings.problem(at, format_args!("is on the interface {interface} and on {other}: say one of them"));
    }
    if hops.is_some_and(|hops| hops > 1) {
        findings
            .problem(at, format_args!("has multihop, but {address} is link-local, so on the link: leave multihop out"));
    }
    if gateway.is_some() {
        findings.problem(
            at,
            format_args!("has a gateway, but {address} is link-local, so on the link: leave the gateway out"),
        );
    }
    match source {
        Some(source) if source == address => findings.problem(at, "has its own address for a source"),
        Some(source) if Family::of(source) != Family::of(address) => {
            findings.problem(at, format_args!("has the source {source}, which cannot speak to {address}"));
        }
        Some(source) if !is_link_local(source) && !links.iter().any(|link| link.address == source) => {
            findings.problem(at, format_args!("has the source {source}, which is none of the machine's addresses"));
        }
        _ => {}
    }
    let path = Path { source, interface: Some(interface), multihop: 1, way: Way::OnLink };
    (findings.count() == before).then_some(path)
}

/// The path to any other neighbour: from one of the machine's addresses.
fn path(at: &str, said: Said, links: &[Management<IpAddr>], findings: &mut Findings) -> Option<Path> {
    let Said { address, source, interfaces: [interface, ..], hops, gateway } = said;
    if let Some(source) = source.filter(|source| is_link_local(*source)) {
        findings.problem(at, format_args!("has the link-local source {source}, and {address} is not link-local"));
        return None;
    }
    let link = link(at, address, source, links, findings)?;
    let near = link.on_link(address);
    let multihop = multihop(at, address, &link, hops, findings)?;
    if interface.is_some() && multihop > 1 {
        let what = "has an interface and multihop: only a session that stays on the link is bound to one, so leave one of them out";
        findings.problem(at, what);
        return None;
    }
    let way = match (near, gateway) {
        (true, None) => Way::OnLink,
        (true, Some(_)) => {
            findings.problem(at, "has a gateway, but is on the link itself: leave the gateway out");
            return None;
        }
        (false, given) => behind(at, &link, given, links, findings)?,
    };
    Some(Path { source: Some(link.address), interface, multihop, way })
}

fn ip(fields: &Fields<'_>, key: &str, node: &Node, findings: &mut Findings) -> Option<(IpAddr, Option<String>)> {
    let text = fields::text(fields.place(key), node, findings)?;
    findings.scoped(fields.place(key), text)
}

fn interface(at: &str, node: &Node, findings: &mut Findings) -> Option<String> {
    let text = fields::text(format!("{at}.interface"), node, findings)?;
    findings.interface(at, text.trim())
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
