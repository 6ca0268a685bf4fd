//! A machine's own document to our [`Machine`]: names, addresses and links; sessions are next door, in `neighbours`.
//! May not stop at the first mistake: everything missing, unknown or contradictory is collected and named at once.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv4Net;

use super::super::findings::{Findings, quoted};
use super::super::machine::is_link_local;
use super::super::node::Node;
use super::super::{Machine, Management};
use super::fields::{self, Fields};
use super::neighbours;
use anymetal_supply::failure::Failure;

/// The `kind` of the document.
const KIND: &str = "anymetal.machine";
/// The `version` of the form that is read here.
const VERSION: u32 = 1;

pub(super) fn machine(document: &Node) -> Result<Machine, Failure> {
    let mut findings = Findings::default();
    let mut machine = Machine::default();
    if let Some(fields) = Fields::of("", document, &mut findings) {
        fill(&mut machine, fields, &mut findings);
    }
    findings.judge(machine)
}

fn fill(machine: &mut Machine, mut fields: Fields<'_>, findings: &mut Findings) {
    let f = findings;
    if !is_ours(&mut fields, f) {
        return; // no key means anything then
    }
    let mut name = |key, f: &mut Findings| {
        let text = fields.text(key, f).map(str::to_owned);
        if key == "hostname" { text } else { f.text(key, text) }
    };
    machine.id = name("id", f);
    machine.metro = name("metro", f);
    machine.facility = name("facility", f);
    let hostname = name("hostname", f);
    machine.hostname = f.hostname(hostname, machine.id.as_deref());
    let before = f.count();
    if let Some(addresses) = fields.need("addresses", f)
        && let Some(mut kinds) = Fields::of("addresses", addresses, f)
    {
        machine.private4 = kinds.take("private4").and_then(|node| link::<Ipv4Addr>("addresses.private4", node, 32, f));
        machine.public4 = kinds.take("public4").and_then(|node| link::<Ipv4Addr>("addresses.public4", node, 32, f));
        machine.public6 = kinds.take("public6").and_then(|node| link::<Ipv6Addr>("addresses.public6", node, 128, f));
        kinds.end(f);
    }
    let sound = f.count() == before;
    machine.private_subnets = match fields.take("private_subnets") {
        Some(node) => private_subnets(node, f),
        None => machine.private4.into_iter().filter_map(link_of).collect(),
    };
    if let Some(node) = fields.take("neighbours") {
        machine.neighbours = neighbours::read(machine, sound, node, f);
    }
    fields.end(f);
}

/// Whether it is a document of this kind and version.
fn is_ours(fields: &mut Fields<'_>, findings: &mut Findings) -> bool {
    let kind = fields.need("kind", findings);
    let version = fields.need("version", findings);
    match (kind, version) {
        (Some(Node::Text(kind)), Some(Node::Number(version))) if kind == KIND => {
            if *version == u64::from(VERSION) {
                return true;
            }
            let own = env!("CARGO_PKG_VERSION");
            findings.problem("version", format_args!("is {version}, and this init ({own}) reads version {VERSION}"));
        }
        (Some(Node::Text(kind)), _) if kind != KIND => {
            findings.problem("kind", format_args!("is {}, not {KIND:?}", quoted(kind)));
        }
        (Some(Node::Text(_)), Some(_)) => findings.problem("version", "must be a whole number"),
        (Some(_), _) => findings.problem("kind", "must be a text"),
        (None, _) => {}
    }
    false
}

/// An address with the length of its link, and perhaps a gateway.
fn link<'n, A>(at: &str, node: &'n Node, bits: u8, findings: &mut Findings) -> Option<Management<A>>
where
    A: FromStr + Copy + PartialEq + Into<IpAddr> + Display,
{
    let kind = if bits == 32 { "an IPv4 address" } else { "an IPv6 address" };
    let mut fields = Fields::of(at, node, findings)?;
    let address = fields.need("address", findings);
    let address = address.and_then(|node| fields::text(fields.place("address"), node, findings));
    let gateway = fields.text("gateway", findings);
    let (address_at, gateway_at) = (fields.place("address"), fields.place("gateway"));
    fields.end(findings);
    // The interface of a link-local gateway is the machine's own affair: what is behind it goes by the machine's own default route.
    let plain = |text: &'n str| text.split_once('%').map_or(text, |(plain, _)| if bits == 128 { plain } else { text });
    let gateway = gateway.and_then(|text| findings.parse::<A>(gateway_at, plain(text), kind));
    let text = address?;
    let parts = text.trim().split_once('/').and_then(|(address, length)| Some((address, plain_length(length, bits)?)));
    let Some((address, length)) = parts else {
        let example = if bits == 32 { "10.7.0.5/24" } else { "2001:db8::5/64" };
        findings.problem(
            address_at,
            format_args!("is {}, which is not an address and the length of its link, as in {example}", quoted(text)),
        );
        return None;
    };
    let address = findings.parse::<A>(address_at, address, kind)?;
    let read = Management { address, length, gateway };
    match gateway {
        Some(gateway) if gateway == address => findings.problem(at, "has its own address for a gateway"),
        Some(gateway) if !read.on_link(gateway.into()) && !is_link_local(gateway.into()) => findings.warn(
            at,
            format_args!(
                "has the gateway {gateway}, which is not on the link of {address}/{length}: neighbours behind it go by the machine's \
                 default route"
            ),
        ),
        _ => {}
    }
    Some(read)
}

fn plain_length(text: &str, bits: u8) -> Option<u8> {
    let plain = text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|length| plain && *length <= bits)
}

fn link_of(private: Management<Ipv4Addr>) -> Option<Ipv4Net> {
    Ipv4Net::new(private.address, private.length).ok().map(|link| link.trunc())
}

fn private_subnets(node: &Node, findings: &mut Findings) -> Vec<Ipv4Net> {
    let items = fields::list("private_subnets", node, findings);
    let prefix = |(at, node): (String, &Node)| {
        let text = fields::text(at.as_str(), node, findings)?;
        findings.parse::<Ipv4Net>(at, text, "an IPv4 prefix").map(|prefix| prefix.trunc())
    };
    items.into_iter().filter_map(prefix).collect()
}
