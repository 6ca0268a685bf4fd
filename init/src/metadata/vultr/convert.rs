//! Vultr's document to our [`Machine`]: names, addresses, links, and one BGP session for each family.
//! May not stop at the first mistake: everything missing or contradictory is collected and named at once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::super::findings::{Findings, quoted};
use super::super::node::Node;
use super::super::sessions::Sessions;
use super::super::{Family, Machine, Management, Neighbour, Way};
use super::field::Object;
use anymetal_supply::failure::Failure;

/// Hops to a neighbour that is not on-link: what the platform's own guides to its BGP write for every kind of server.
const HOPS: u8 = 2;

/// Every address of the machine that the document names, with its link: a session may come from any.
type Known = Vec<Management<IpAddr>>;

pub(super) fn machine(document: &Node) -> Result<Machine, Failure> {
    let findings = &mut Findings::default();
    let document = Object::whole(document);
    // The id of older documents is the second.
    let id = document.word("instance-v2-id", findings).or_else(|| document.word("instanceid", findings));
    let id = findings.text("instance-v2-id", id);
    let hostname = document.word("hostname", findings);
    let hostname = findings.hostname(hostname, id.as_deref());
    let region = document.object("region", findings).word("regioncode", findings);
    let mut machine = Machine { id, hostname, metro: findings.text("region.regioncode", region), ..Machine::default() };
    let known = place_addresses(&mut machine, &document, findings);
    let bgp = document.object("bgp", findings);
    let mut sessions = Sessions::default();
    for (family, key) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        let session = bgp.object(key, findings);
        if let Some(neighbour) = neighbour(family, &session, &known, findings) {
            sessions.add(&session.at, neighbour, findings);
        }
    }
    machine.neighbours = sessions.all();
    std::mem::take(findings).judge(machine)
}

fn place_addresses(machine: &mut Machine, document: &Object<'_>, findings: &mut Findings) -> Known {
    let mut known = Known::new();
    for interface in document.objects("interfaces", findings) {
        let at = &interface.at;
        let v4 = management4(&interface, &mut known, findings);
        let v6 = management6(&interface, &mut known, findings);
        match interface.word("network-type", findings).as_deref() {
            Some("public") => {
                keep(&mut machine.public4, at, "public IPv4", v4, findings);
                keep(&mut machine.public6, at, "public IPv6", v6, findings);
            }
            Some("private") => keep(&mut machine.private4, at, "private IPv4", v4, findings),
            Some(other) => {
                findings.warn(at, format_args!("is on a network of type {}: it is not used", quoted(other)));
            }
            None => findings.warn(at, "has no network-type: it is not used"),
        }
    }
    // A private network has no gateway: it is its own link and nothing behind it.
    machine.private_subnets = machine.private4.into_iter().filter_map(link).collect();
    known
}

fn link(private: Management<Ipv4Addr>) -> Option<Ipv4Net> {
    Ipv4Net::new(private.address, private.length).ok().map(|link| link.trunc())
}

/// The first of a kind counts.
fn keep<A: std::fmt::Display + Copy>(
    slot: &mut Option<Management<A>>,
    at: &str,
    kind: &str,
    read: Option<Management<A>>,
    findings: &mut Findings,
) {
    match (slot.as_ref(), read) {
        (None, read) => *slot = read,
        (Some(first), Some(second)) => findings
            .warn(at, format_args!("has a second {kind} address, {}: {} is used", second.address, first.address)),
        (Some(_), None) => {}
    }
}

fn management4(interface: &Object<'_>, known: &mut Known, findings: &mut Findings) -> Option<Management<Ipv4Addr>> {
    let wire = interface.object("ipv4", findings);
    let gateway = wire.word("gateway", findings);
    let gateway = gateway.and_then(|text| findings.parse::<Ipv4Addr>(wire.place("gateway"), &text, "an IPv4 address"));
    // These only tell whether a session's address is the machine's, so what cannot be read is not worth a word.
    for additional in wire.objects("additional", findings) {
        let address = additional.word("address", findings).and_then(|text| text.parse::<Ipv4Addr>().ok());
        let length = additional.word("netmask", findings).and_then(|text| length_of(&text)).unwrap_or(32);
        known.extend(address.map(|address| Management { address, length, gateway }.any()));
    }
    let address = wire.word("address", findings)?;
    let address = findings.parse::<Ipv4Addr>(wire.place("address"), &address, "an IPv4 address");
    let netmask = wire.word("netmask", findings);
    let length = netmask.as_deref().and_then(length_of);
    match netmask {
        None => findings.problem(&wire.at, "has an address and no netmask"),
        Some(text) if length.is_none() => {
            findings.problem(wire.place("netmask"), format_args!("is {}, which is not a netmask", quoted(&text)));
        }
        Some(_) => {}
    }
    let read = Management { address: address?, length: length?, gateway };
    if let Some(gateway) = gateway.filter(|gateway| !read.on_link((*gateway).into())) {
        findings.warn(
            &interface.at,
            format_args!("has the gateway {gateway}, which is not on the link of {}/{}", read.address, read.length),
        );
    }
    known.push(read.any());
    Some(read)
}

fn length_of(netmask: &str) -> Option<u8> {
    ipnet::ipv4_mask_to_prefix(netmask.parse().ok()?).ok()
}

fn management6(interface: &Object<'_>, known: &mut Known, findings: &mut Findings) -> Option<Management<Ipv6Addr>> {
    let wire = interface.object("ipv6", findings);
    let address = wire.word("address", findings)?;
    let address = findings.parse::<Ipv6Addr>(wire.place("address"), &address, "an IPv6 address");
    let prefix = wire.word("prefix", findings);
    let length = prefix.as_deref().and_then(|text| text.parse::<u8>().ok()).filter(|length| *length <= 128);
    match prefix {
        None => findings.problem(&wire.at, "has an address and no prefix"),
        Some(text) if length.is_none() => {
            let what = format_args!("is {}, which is not a length from 0 to 128", quoted(&text));
            findings.problem(wire.place("prefix"), what);
        }
        Some(_) => {}
    }
    let read = Management { address: address?, length: length?, gateway: None };
    known.push(read.any());
    Some(read)
}

/// All four fields are empty while BGP is off; one of them alone is a mistake of the platform's.
fn neighbour(family: Family, session: &Object<'_>, known: &Known, findings: &mut Findings) -> Option<Neighbour> {
    let at = &session.at;
    let words = ["my-address", "my-asn", "peer-address", "peer-asn"].map(|key| (key, session.word(key, findings)));
    if words.iter().all(|(_, word)| word.is_none()) {
        return None;
    }
    for (key, _) in words.iter().filter(|(_, word)| word.is_none()) {
        findings.problem(at, format_args!("has no {key}, but other fields: BGP is half on"));
    }
    let [source, local_asn, address, asn] = words;
    let source = self::address(family, session, &source, findings);
    let local_asn = self::asn(session, &local_asn, findings);
    let address = self::address(family, session, &address, findings);
    let asn = self::asn(session, &asn, findings);
    let ((source, own_interface), local_asn, (address, interface), asn) = (source?, local_asn?, address?, asn?);
    let link = known.iter().find(|link| link.address == source);
    if own_interface.is_some() && own_interface != interface {
        findings.problem(at, "has my-address on another interface than peer-address");
    }
    if link.is_none() && !known.is_empty() && own_interface.is_none() {
        findings.warn(
            at,
            format_args!(
                "has my-address {source}, which no interface has: the session will not come up before one does"
            ),
        );
    }
    let way = match link {
        _ if interface.is_some() => Way::OnLink,
        Some(link) if link.on_link(address) => Way::OnLink,
        // IPv6 routers are not in the document, they announce themselves; and the platform's guides have no route to the neighbour.
        _ => link
            .and_then(|link| link.gateway.filter(|gateway| known.iter().any(|link| link.on_link(*gateway))))
            .map_or(Way::Default, Way::Via),
    };
    let multihop = if way == Way::OnLink { 1 } else { HOPS };
    let source = Some(source);
    Some(Neighbour { family, address, asn, local_asn, source, interface, multihop, way, password: None, accepts: None })
}

/// A key and what stands there.
type Word = (&'static str, Option<String>);

/// An address, and the interface it is on when that is told: for a link-local one.
fn address(
    family: Family,
    session: &Object<'_>,
    (key, text): &Word,
    findings: &mut Findings,
) -> Option<(IpAddr, Option<String>)> {
    let at = session.place(key);
    let (address, interface) = findings.scoped(&at, text.as_deref()?)?;
    if Family::of(address) != family {
        findings.problem(at, format_args!("is {address}, in a session of {}", family.name()));
        return None;
    }
    Some((address, interface))
}

fn asn(session: &Object<'_>, (key, text): &Word, findings: &mut Findings) -> Option<u32> {
    let number = findings.parse(session.place(key), text.as_deref()?, "an AS number")?;
    findings.asn(&session.at, key, Some(number))
}
