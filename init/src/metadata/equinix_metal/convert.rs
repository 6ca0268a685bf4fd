//! Equinix Metal's document to our [`Machine`]: names, addresses and links; sessions are next door, in `neighbours`.
//! May not stop at the first mistake: everything missing or contradictory is collected and named at once.

use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use anymetal_contract::secrets::CUSTOMDATA;
use ipnet::Ipv4Net;
use serde_json::Value;

use super::super::findings::{Findings, quoted};
use super::super::{Machine, Management};
use super::neighbours;
use super::wire::{EquinixAddress, EquinixMetadata};
use crate::secret::Secret;
use anymetal_supply::failure::Failure;
use anymetal_supply::origin::lower;

/// What is reached through the private gateway when a document does not say: all documents that say it have this.
const PRIVATE_SUBNETS: &str = "10.0.0.0/8";

pub(super) fn machine(document: EquinixMetadata) -> Result<Machine, Failure> {
    let mut findings = Findings::default();
    let id = findings.text("id", document.id);
    let hostname = findings.hostname(document.hostname, id.as_deref());
    let mut machine = Machine {
        id,
        hostname,
        metro: findings.text("metro", document.metro),
        facility: findings.text("facility", document.facility),
        private_subnets: private_subnets(document.private_subnets, &mut findings),
        user_state_url: url("user_state_url", document.user_state_url, &mut findings),
        phone_home_url: url("phone_home_url", document.phone_home_url, &mut findings),
        customdata: document.customdata.and_then(|customdata| ours(&customdata)),
        ..Machine::default()
    };
    let addresses = document.network.and_then(|network| network.addresses).unwrap_or_default();
    place_addresses(&mut machine, &addresses, &mut findings);
    machine.neighbours = neighbours::read(&machine, document.bgp_neighbors.unwrap_or_default(), &mut findings);
    findings.judge(machine)
}

/// Our document in the custom data: an object, or a text that is one, as command-line tools like to send it.
fn ours(customdata: &Value) -> Option<Secret> {
    let unwrapped = match customdata {
        Value::String(text) => serde_json::from_str(text).ok()?,
        other => other.clone(),
    };
    match unwrapped.get(CUSTOMDATA)? {
        Value::Null => None,
        Value::String(text) => Some(Secret::new(text.clone())),
        other => Some(Secret::new(other.to_string())),
    }
}

fn url(at: &str, url: Option<String>, findings: &mut Findings) -> Option<String> {
    let url = lower(&url.filter(|url| !url.is_empty())?);
    let good =
        ["http://", "https://"].iter().any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()))
            && !url.chars().any(|c| c.is_control() || c.is_whitespace());
    if good {
        Some(url)
    } else {
        findings.warn(at, format_args!("is {}, which is not an http or https URL: it is not used", quoted(&url)));
        None
    }
}

fn private_subnets(subnets: Option<Vec<String>>, findings: &mut Findings) -> Vec<Ipv4Net> {
    let subnets = subnets.unwrap_or_else(|| vec![PRIVATE_SUBNETS.to_owned()]);
    let mut read = Vec::with_capacity(subnets.len());
    for (i, subnet) in subnets.iter().enumerate() {
        match subnet.trim().parse::<Ipv4Net>() {
            Ok(subnet) => read.push(subnet.trunc()),
            Err(_) => findings.warn(
                format_args!("private_subnets[{i}]"),
                format_args!("is {}, which is not an IPv4 prefix: it is left out", quoted(subnet)),
            ),
        }
    }
    read
}

/// Only what is enabled and meant for management: anything else may be an elastic address that is announced, not reached.
fn place_addresses(machine: &mut Machine, addresses: &[EquinixAddress], findings: &mut Findings) {
    for (i, wire) in addresses.iter().enumerate() {
        if wire.enabled != Some(true) || wire.management != Some(true) {
            continue;
        }
        let at = format!("network.addresses[{i}]");
        match (wire.address_family, wire.public) {
            (Some(4), Some(false)) => keep(&mut machine.private4, &at, "private IPv4", wire, findings),
            (Some(4), Some(true)) => keep(&mut machine.public4, &at, "public IPv4", wire, findings),
            (Some(6), Some(true)) => keep(&mut machine.public6, &at, "public IPv6", wire, findings),
            (Some(6), Some(false)) => findings.warn(&at, "is a private IPv6 address: it is not used"),
            (Some(4 | 6), None) => findings.problem(&at, "does not say whether it is public"),
            (Some(other), _) => {
                findings.problem(&at, format_args!("has address_family {other}, which is neither 4 nor 6"));
            }
            (None, _) => findings.problem(&at, "has no address_family"),
        }
    }
}

/// The first of a kind counts; machines with two bonds have more.
fn keep<A>(slot: &mut Option<Management<A>>, at: &str, kind: &str, wire: &EquinixAddress, findings: &mut Findings)
where
    A: FromStr + Copy + PartialEq + Into<IpAddr> + Display,
{
    let Some(read) = management(at, wire, findings) else { return };
    match slot {
        None => *slot = Some(read),
        Some(first) => findings.warn(
            at,
            format_args!("is a second {kind} management address, {}: {} is used", read.address, first.address),
        ),
    }
}

fn management<A>(at: &str, wire: &EquinixAddress, findings: &mut Findings) -> Option<Management<A>>
where
    A: FromStr + Copy + PartialEq + Into<IpAddr> + Display,
{
    let (kind, bits) = if wire.address_family == Some(4) { ("an IPv4 address", 32) } else { ("an IPv6 address", 128) };
    let address = if let Some(text) = &wire.address {
        findings.parse::<A>(format_args!("{at}.address"), text, kind)
    } else {
        findings.problem(at, "has no address");
        None
    };
    let length = match wire.cidr {
        Some(length) if length <= bits => Some(length),
        Some(length) => {
            findings.problem(at, format_args!("has cidr {length}, more than the {bits} bits there are"));
            None
        }
        None => {
            findings.problem(at, "has no cidr");
            None
        }
    };
    let gateway = wire.gateway.as_deref().filter(|text| !text.is_empty());
    let gateway = gateway.map(|text| findings.parse::<A>(format_args!("{at}.gateway"), text, kind));
    let gateway = gateway.flatten();
    let read = Management { address: address?, length: length?, gateway };
    if let Some(gateway) = gateway.filter(|gateway| !read.on_link((*gateway).into())) {
        findings.warn(
            at,
            format_args!("has the gateway {gateway}, which is not on the link of {}/{}", read.address, read.length),
        );
    }
    Some(read)
}
