//! Vultr's document to our [`Machine`]: names, addresses, links, and one BGP session for each family.
//! May not stop at the first mistake: everything missing or contradictory is collected and named at once.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv4Net;

use super::super::findings::{Findings, quoted};
use super::super::sessions::Sessions;
use super::super::{Family, Machine, Management, Neighbour, Way};
use super::wire::{Object, VultrInterface, VultrIpv4, VultrIpv6, VultrMetadata, VultrSession, Word};
use crate::failure::Failure;

/// Hops to a neighbour that is not on-link: what the platform's own guides to its BGP write for every kind of server.
const HOPS: u8 = 2;

/// Every address of the machine that the document names, with its link: a session may come from any.
type Known = Vec<Management<IpAddr>>;

pub(super) fn machine(document: VultrMetadata) -> Result<Machine, Failure> {
    let mut findings = Findings::default();
    let id = findings.text("instance-v2-id", document.instance_v2_id.0.or(document.instanceid.0));
    let hostname = findings.hostname(document.hostname.0, id.as_deref());
    let mut machine = Machine {
        id,
        hostname,
        metro: findings.text("region.regioncode", document.region.0.and_then(|region| region.regioncode.0)),
        facility: None,
        private4: None,
        public4: None,
        public6: None,
        private_subnets: Vec::new(),
        neighbours: Vec::new(),
        user_state_url: None,
        phone_home_url: None,
        customdata: None,
        service: BTreeSet::new(),
        warnings: Vec::new(),
    };
    let known = place_addresses(&mut machine, document.interfaces.unwrap_or_default(), &mut findings);
    if let Some(bgp) = document.bgp.0 {
        let mut sessions = Sessions::default();
        for (family, at, session) in [(Family::V4, "bgp.ipv4", bgp.ipv4), (Family::V6, "bgp.ipv6", bgp.ipv6)] {
            if let Some(neighbour) = neighbour(family, at, session, &known, &mut findings) {
                sessions.add(at, neighbour, &mut findings);
            }
        }
        machine.neighbours = sessions.all();
    }
    findings.judge(machine)
}

fn place_addresses(machine: &mut Machine, interfaces: Vec<VultrInterface>, findings: &mut Findings) -> Known {
    let mut known = Known::new();
    for (i, interface) in interfaces.into_iter().enumerate() {
        let at = format!("interfaces[{i}]");
        let v4 = interface.ipv4.0.and_then(|ipv4| management4(&at, ipv4, &mut known, findings));
        let v6 = interface.ipv6.0.and_then(|ipv6| management6(&at, ipv6, &mut known, findings));
        match interface.network_type.0.as_deref() {
            Some("public") => {
                keep(&mut machine.public4, &at, "public IPv4", v4, findings);
                keep(&mut machine.public6, &at, "public IPv6", v6, findings);
            }
            Some("private") => keep(&mut machine.private4, &at, "private IPv4", v4, findings),
            Some(other) => {
                findings.warn(&at, format_args!("is on a network of type {}: it is not used", quoted(other)));
            }
            None => findings.warn(&at, "has no network-type: it is not used"),
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

fn management4(at: &str, wire: VultrIpv4, known: &mut Known, findings: &mut Findings) -> Option<Management<Ipv4Addr>> {
    let gateway = wire
        .gateway
        .0
        .and_then(|text| findings.parse::<Ipv4Addr>(format_args!("{at}.ipv4.gateway"), &text, "an IPv4 address"));
    // These only tell whether a session's address is the machine's, so what cannot be read is not worth a word.
    for additional in wire.additional.into_iter().flatten() {
        let address = additional.address.0.and_then(|text| text.parse::<Ipv4Addr>().ok());
        let length = additional.netmask.0.and_then(|text| length_of(&text)).unwrap_or(32);
        known.extend(address.map(|address| Management { address, length, gateway }.any()));
    }
    let address = wire.address.0?;
    let address = findings.parse::<Ipv4Addr>(format_args!("{at}.ipv4.address"), &address, "an IPv4 address");
    let length = match &wire.netmask.0 {
        None => {
            findings.problem(format_args!("{at}.ipv4"), "has an address and no netmask");
            None
        }
        Some(text) => {
            let length = length_of(text);
            if length.is_none() {
                findings.problem(
                    format_args!("{at}.ipv4.netmask"),
                    format_args!("is {}, which is not a netmask", quoted(text)),
                );
            }
            length
        }
    };
    let read = Management { address: address?, length: length?, gateway };
    if let Some(gateway) = gateway.filter(|gateway| !read.on_link((*gateway).into())) {
        findings.warn(
            at,
            format_args!("has the gateway {gateway}, which is not on the link of {}/{}", read.address, read.length),
        );
    }
    known.push(read.any());
    Some(read)
}

fn length_of(netmask: &str) -> Option<u8> {
    ipnet::ipv4_mask_to_prefix(netmask.parse().ok()?).ok()
}

fn management6(at: &str, wire: VultrIpv6, known: &mut Known, findings: &mut Findings) -> Option<Management<Ipv6Addr>> {
    let address = wire.address.0?;
    let address = findings.parse::<Ipv6Addr>(format_args!("{at}.ipv6.address"), &address, "an IPv6 address");
    let length = match wire.prefix.0.as_deref().map(|text| (text, text.parse::<u8>())) {
        Some((_, Ok(length))) if length <= 128 => Some(length),
        Some((text, _)) => {
            findings.problem(
                format_args!("{at}.ipv6.prefix"),
                format_args!("is {}, which is not a length from 0 to 128", quoted(text)),
            );
            None
        }
        None => {
            findings.problem(format_args!("{at}.ipv6"), "has an address and no prefix");
            None
        }
    };
    let read = Management { address: address?, length: length?, gateway: None };
    known.push(read.any());
    Some(read)
}

/// All four fields are empty while BGP is off; one of them alone is a mistake of the platform's.
fn neighbour(
    family: Family,
    at: &str,
    session: Object<VultrSession>,
    known: &Known,
    findings: &mut Findings,
) -> Option<Neighbour> {
    let VultrSession { my_address, my_asn, peer_address, peer_asn } = session.0?;
    if [&my_address, &my_asn, &peer_address, &peer_asn].iter().all(|word| word.0.is_none()) {
        return None;
    }
    let source = address(family, at, "my-address", my_address, findings);
    let local_asn = asn(at, "my-asn", my_asn, findings);
    let address = address(family, at, "peer-address", peer_address, findings);
    let asn = asn(at, "peer-asn", peer_asn, findings);
    let (source, local_asn, address, asn) = (source?, local_asn?, address?, asn?);
    let link = known.iter().find(|link| link.address == source);
    if link.is_none() && !known.is_empty() {
        findings.warn(
            at,
            format_args!(
                "has my-address {source}, which no interface has: the session will not come up before one does"
            ),
        );
    }
    let way = match link {
        Some(link) if link.on_link(address) => Way::OnLink,
        // IPv6 routers are not in the document, they announce themselves; and the platform's guides have no route to the neighbour.
        _ => link
            .and_then(|link| link.gateway.filter(|gateway| known.iter().any(|link| link.on_link(*gateway))))
            .map_or(Way::Default, Way::Via),
    };
    let multihop = if way == Way::OnLink { 1 } else { HOPS };
    Some(Neighbour { family, address, asn, local_asn, source, multihop, way, password: None, accepts: None })
}

fn address(family: Family, at: &str, field: &str, word: Word, findings: &mut Findings) -> Option<IpAddr> {
    let Some(text) = word.0 else {
        findings.problem(at, format_args!("has no {field}, but other fields: BGP is half on"));
        return None;
    };
    let address: IpAddr = findings.parse(format_args!("{at}.{field}"), &text, "an IP address")?;
    if Family::of(address) != family {
        findings.problem(format_args!("{at}.{field}"), format_args!("is {address}, in a session of {}", family.name()));
        return None;
    }
    Some(address)
}

fn asn(at: &str, field: &str, word: Word, findings: &mut Findings) -> Option<u32> {
    let Some(text) = word.0 else {
        findings.problem(at, format_args!("has no {field}, but other fields: BGP is half on"));
        return None;
    };
    let number = findings.parse(format_args!("{at}.{field}"), &text, "an AS number")?;
    findings.asn(at, field, Some(number))
}
