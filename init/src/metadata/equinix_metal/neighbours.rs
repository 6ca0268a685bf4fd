//! Equinix Metal's `bgp_neighbors` to our [`Neighbour`]s: who is spoken to, from which address, through which gateway.
//! May not stop at the first mistake, and may not quote a password.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::findings::{Findings, quoted};
use super::super::sessions::{self, Sessions};
use super::super::{Accepted, Family, Machine, Management, Neighbour, Way};
use super::wire::{EquinixBgpNeighbor, EquinixPassword};
use crate::bird;
use crate::secret::Secret;

/// Hops to a neighbour that is not on-link. The platform says only that there are several; 5 is what its own generator of
/// configurations writes, and a limit, not a count.
const HOPS: u8 = 5;

/// So many routes are looked at; the platform takes ten per neighbour unless more are agreed on.
const ROUTES_MOST: usize = 1000;

pub(super) fn read(machine: &Machine, wire: Vec<EquinixBgpNeighbor>, findings: &mut Findings) -> Vec<Neighbour> {
    let mut sessions = Sessions::default();
    for (i, session) in wire.into_iter().enumerate() {
        let at = format!("bgp_neighbors[{i}]");
        for neighbour in read_session(machine, &at, session, findings) {
            sessions.add(&at, neighbour, findings);
        }
    }
    sessions.all()
}

fn read_session(machine: &Machine, at: &str, session: EquinixBgpNeighbor, findings: &mut Findings) -> Vec<Neighbour> {
    let Some(family) = family(at, session.address_family, findings) else { return Vec::new() };
    let peers = session.peer_ips.unwrap_or_default();
    if peers.is_empty() {
        findings.warn(at, "has no peer_ips yet: it is left out");
        return Vec::new();
    }
    // The neighbours take an IPv4 session only from the private management address, and an IPv6 session only from the public one.
    let (link, kind) = match family {
        Family::V4 => (machine.private4.map(Management::any), "private IPv4"),
        Family::V6 => (machine.public6.map(Management::any), "public IPv6"),
    };
    if link.is_none() {
        let name = family.name();
        findings.problem(
            at,
            format_args!(
                "is an {name} session, which needs the {kind} management address, and network.addresses has none"
            ),
        );
    }
    let local_asn = findings.asn(at, "customer_as", session.customer_as);
    let asn = findings.asn(at, "peer_as", session.peer_as);
    let password = password(at, session.md5_enabled, session.md5_password, findings);
    let addresses: Vec<(IpAddr, Option<String>)> = peers
        .iter()
        .enumerate()
        .filter_map(|(n, text)| peer(&format!("{at}.peer_ips[{n}]"), text, family, findings))
        // One more than there may be, so that it is said.
        .take(sessions::MOST + 1)
        .collect();
    let (Some(link), Some(local_asn), Some(asn), Ok(password)) = (link, local_asn, asn, password) else {
        return Vec::new();
    };
    cross_check(at, session.customer_ip.as_deref(), link.address, kind, findings);
    let accepts = session.routes_in.and_then(|routes| accepts(at, &routes, findings));
    let mut neighbours = Vec::with_capacity(addresses.len());
    for (address, interface) in addresses {
        let near = interface.is_some() || link.on_link(address);
        let several = interface.is_none() && session.multihop.unwrap_or(!near);
        let way = if near { Way::OnLink } else { way(at, &link, address, several, findings) };
        neighbours.push(Neighbour {
            family,
            address,
            asn,
            local_asn,
            source: Some(link.address),
            interface,
            multihop: if several { HOPS } else { 1 },
            way,
            password: password.clone(),
            accepts: accepts.clone(),
        });
    }
    neighbours
}

/// What the neighbours take. When one route cannot be read, nothing is known of the whole.
fn accepts(at: &str, routes: &Value, findings: &mut Findings) -> Option<Vec<Accepted>> {
    let read = |route: &Value| {
        let prefix = route.get("route")?.as_str()?.trim().parse::<IpNet>().ok()?.trunc();
        let exact = route.get("exact").and_then(Value::as_bool).unwrap_or(false);
        Some(Accepted { prefix, exact })
    };
    let accepts = routes
        .as_array()
        .filter(|routes| routes.len() <= ROUTES_MOST)
        .and_then(|routes| routes.iter().map(read).collect());
    if accepts.is_none() && !routes.is_null() {
        findings.warn(
            at,
            "has routes_in that are not a list of some prefixes: whether the site's are among them is not checked",
        );
    }
    accepts
}

fn family(at: &str, family: Option<u8>, findings: &mut Findings) -> Option<Family> {
    let known = Family::ALL.into_iter().find(|known| Some(known.number()) == family);
    match (known, family) {
        (None, Some(other)) => {
            findings.problem(at, format_args!("has address_family {other}, which is neither 4 nor 6"));
        }
        (None, None) => findings.problem(at, "has no address_family"),
        (Some(_), _) => {}
    }
    known
}

/// The address of a peer, and the interface it is on when that is told: for a link-local one.
fn peer(at: &str, text: &str, family: Family, findings: &mut Findings) -> Option<(IpAddr, Option<String>)> {
    let (address, interface) = findings.scoped(at, text)?;
    if Family::of(address) == family {
        return Some((address, interface));
    }
    findings.problem(at, format_args!("is {address}, in a session of {}", family.name()));
    None
}

/// `customer_ip` is what the platform believes our side to be; the address of the link is what works.
fn cross_check(at: &str, customer: Option<&str>, source: IpAddr, kind: &str, findings: &mut Findings) {
    let Some(customer) = customer.filter(|text| !text.is_empty()) else { return };
    match customer.trim().parse::<IpAddr>() {
        Ok(customer) if customer == source => {}
        Ok(customer) => findings.warn(
            at,
            format_args!("has customer_ip {customer}, but the {kind} management address is {source}, which is used"),
        ),
        Err(_) => findings.warn(at, format_args!("has customer_ip {}, which is not an IP address", quoted(customer))),
    }
}

/// The way to a peer that is not on the link.
fn way(at: &str, link: &Management<IpAddr>, peer: IpAddr, several: bool, findings: &mut Findings) -> Way {
    if !several {
        findings.warn(
            at,
            format_args!(
                "says that {peer} is on-link, but the link is {}/{}: unless the site sets bgp.multihop the session will not come up",
                link.address, link.length
            ),
        );
    } else if link.gateway.is_none() {
        findings.problem(at, format_args!("has {peer} several hops away, but {} has no gateway", link.address));
    }
    link.gateway.map_or(Way::Untold, Way::Via)
}

fn password(
    at: &str,
    enabled: Option<bool>,
    password: EquinixPassword,
    findings: &mut Findings,
) -> Result<Option<Secret>, ()> {
    let text = match (enabled.unwrap_or(false), password) {
        (true, EquinixPassword::Text(text)) if !text.is_empty() => text,
        (true, EquinixPassword::NotText) => {
            findings.problem(at, "has an md5_password that is not text");
            return Err(());
        }
        (true, _) => {
            findings.problem(at, "has md5_enabled, but no md5_password");
            return Err(());
        }
        (false, EquinixPassword::Text(text)) if enabled.is_none() && !text.is_empty() => {
            findings.problem(at, "has an md5_password, but does not say whether md5_enabled");
            return Err(());
        }
        (false, _) => return Ok(None),
    };
    match bird::unusable(&text) {
        None => Ok(Some(Secret::new(text))),
        Some(fault) => {
            findings.problem(at, format_args!("has an md5_password {fault}: set another one for the project's BGP"));
            Err(())
        }
    }
}
