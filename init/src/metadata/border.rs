//! What a metadata document may say: a stranger wrote it, and it becomes rules, names and routes of this node.
//! May not know a platform; refuses, names the value and says what to do, and mends nothing.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};

use anymetal_contract::plan::Plan;
use anymetal_contract::{Reason, plan};
use ipnet::Ipv4Net;

use super::findings::{Findings, quoted};
use super::machine::{Machine, Management, Neighbour, Way, is_link_local};
use anymetal_supply::failure::Failure;

/// The longest name (RFC 1035 section 2.3.4), and the longest label of one.
const NAME_MOST: usize = 253;
const LABEL_MOST: usize = 63;
/// The longest name of an interface: `IFNAMSIZ` of Linux, which counts a zero byte.
const INTERFACE_MOST: usize = 15;
/// So many prefixes a private network may have; real documents have one to three.
const SUBNETS_MOST: usize = 64;
/// What may be a private network: RFC 1918 and RFC 6598. The widest of them is a /8.
const PRIVATE: [(Ipv4Addr, u8); 4] = [
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
];
/// No link is wider: IPv4, IPv6.
const WIDEST: [u8; 2] = [8, 16];
/// Numbers that no session can have: RFC 7607, RFC 6793 (`AS_TRANS`), RFC 7300.
const RESERVED_ASNS: [u32; 4] = [0, 23_456, 65_535, u32::MAX];

/// What is wrong with a host's name (RFC 1123 section 2.1), as the end of a sentence. A name below a domain is one too.
pub(super) fn bad_hostname(name: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=LABEL_MOST).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > NAME_MOST {
        return Some(format!("is longer than {NAME_MOST} bytes: {}", quoted(name)));
    }
    (!name.split('.').all(label)).then(|| {
        format!(
            "is {}, which is no name of a host: give the machine one of letters, digits and hyphens, in labels of at most {LABEL_MOST} \
             joined by dots (RFC 1123)",
            quoted(name)
        )
    })
}

/// What is wrong with a word that becomes part of a configuration, as the end of a sentence. Only what no configuration takes for its own syntax,
/// and no terminal for a command, is let in.
pub(super) fn bad_word(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " ._:/@+,=()-".contains(c);
    if word.len() > NAME_MOST {
        return Some(format!("is longer than {NAME_MOST} bytes: {}", quoted(word)));
    }
    let odd = word.chars().find(|c| !plain(*c))?;
    let what = if odd.is_control() { "control characters".to_owned() } else { format!("the character {odd:?}") };
    Some(format!(
        "is {}, which has {what}: only letters, digits, spaces and . _ : / @ + , = ( ) - will do",
        quoted(word)
    ))
}

/// What is wrong with the name of an interface, as the end of a sentence. Linux takes more (`dev_valid_name`), but an asterisk is a pattern in nft,
/// a number an index, and a quote ends the text.
pub(super) fn bad_interface(name: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let good = (1..=INTERFACE_MOST).contains(&name.len())
        && name.chars().all(plain)
        && !name.chars().all(|c| c.is_ascii_digit() || c == '.');
    (!good).then(|| {
        format!(
            "has the interface {}, which is no name of one: write it as `ip link` does, at most {INTERFACE_MOST} letters, digits, dots, hyphens \
             and underscores",
            quoted(name)
        )
    })
}

/// Whether such an AS number can be anybody's.
pub(super) fn is_reserved(asn: u32) -> bool {
    RESERVED_ASNS.contains(&asn)
}

/// Judges the addresses of a machine, whatever platform told them.
pub(super) fn judge(machine: &Machine, findings: &mut Findings) {
    let links = [
        ("the private IPv4 address", machine.private4.map(Management::any)),
        ("the public IPv4 address", machine.public4.map(Management::any)),
        ("the public IPv6 address", machine.public6.map(Management::any)),
    ];
    for (at, link) in links.iter().filter_map(|(at, link)| Some((at, (*link)?))) {
        one(at, link.address, findings);
        if let Some(gateway) = link.gateway {
            one(format_args!("the gateway of {at}"), gateway, findings);
        }
        let widest = WIDEST[usize::from(link.address.is_ipv6())];
        if link.length < widest {
            findings.problem(at, format_args!("has a link of /{}, and none is wider than /{widest}", link.length));
        }
        if is_link_local(link.address) {
            let what = format_args!("is {}, which others on its link alone can reach: name another one", link.address);
            findings.problem(at, what);
        }
        if is_whole_link(&link) {
            let what = format_args!("is {}, which on a link of /{} is no machine's", link.address, link.length);
            findings.problem(at, what);
        }
    }
    if let (Some(private), Some(public)) = (machine.private4, machine.public4)
        && private.address == public.address
    {
        findings.problem("the private and the public IPv4 address", format_args!("are both {}", private.address));
    }
    for neighbour in &machine.neighbours {
        let of = neighbour.address;
        one("a BGP neighbour's address", of, findings);
        if let Some(source) = neighbour.source {
            one(format_args!("the source of the session with {of}"), source, findings);
        }
        interface(neighbour, findings);
        if let Way::Via(gateway) = neighbour.way {
            one(format_args!("the gateway to the neighbour {of}"), gateway, findings);
        }
        for (whose, asn) in [("asn", neighbour.asn), ("own asn", neighbour.local_asn)] {
            if is_reserved(asn) {
                findings.problem(
                    format_args!("the session with {of}"),
                    format_args!("has the {whose} {asn}, which is reserved"),
                );
            }
        }
    }
    if machine.private_subnets.len() > SUBNETS_MOST {
        let many = machine.private_subnets.len();
        findings.problem("private_subnets", format_args!("are {many}, and at most {SUBNETS_MOST} are taken"));
    }
}

/// What is link-local needs an interface, and BIRD takes it from no other address.
fn interface(neighbour: &Neighbour, findings: &mut Findings) {
    let Neighbour { address, source, interface, .. } = neighbour;
    if is_link_local(*address) && interface.is_none() {
        findings.problem(
            format_args!("the BGP neighbour {address}"),
            format_args!(
                "is link-local, so it needs the name of the interface that it is on: write it behind the address, as in {address}%eth0"
            ),
        );
    }
    if let Some(source) = source.filter(|source| is_link_local(*source) && !is_link_local(*address)) {
        let what = format_args!("is {source}, which is link-local, and {address} is not");
        findings.problem(format_args!("the source of the session with {address}"), what);
    }
}

/// Whether the address stands for the link itself or for all on it: nothing can be sent to it. Links of two addresses have neither (RFC 3021).
fn is_whole_link(link: &Management<IpAddr>) -> bool {
    let IpAddr::V4(address) = link.address else { return false };
    let net = Ipv4Net::new(address, link.length).ok().filter(|net| net.prefix_len() < 31);
    net.is_some_and(|net| [net.network(), net.broadcast()].contains(&address))
}

/// An address that a machine can have and packets can go to.
fn one(at: impl Display, address: IpAddr, findings: &mut Findings) {
    let what = match address {
        address if address.is_unspecified() => "no address at all",
        address if address.is_loopback() => "a loopback address",
        address if address.is_multicast() => "a multicast address",
        IpAddr::V4(address) if address.octets()[0] == 0 => "an address of no network",
        IpAddr::V4(address) if address.octets()[0] >= 240 => "a reserved address",
        IpAddr::V6(address) if address.to_ipv4_mapped().is_some() => "an IPv4 address in the form of IPv6",
        _ => return,
    };
    findings.problem(at, format_args!("is {address}, {what}"));
}

/// The prefixes of the private network: the site's, when it names them; otherwise the metadata's, none of them wider than private networks are.
/// Fails when one is: whoever is in it reaches ports that are for the site's own nodes.
pub(crate) fn private_subnets(plan: &Plan, machine: &Machine) -> Result<Vec<Ipv4Net>, Failure> {
    let plan::Metadata { private_subnets: said, .. } = &plan.metadata;
    if !said.is_empty() {
        let unreadable = |text: &String| {
            Failure::new(Reason::PlanUnreadable, format!("the plan's private subnet {text:?} is no prefix"))
        };
        return said.iter().map(|text| text.parse().map_err(|_| unreadable(text))).collect();
    }
    let within = |subnet: &Ipv4Net| {
        PRIVATE.iter().any(|(address, length)| Ipv4Net::new(*address, *length).is_ok_and(|all| all.contains(subnet)))
    };
    let wide: Vec<String> =
        machine.private_subnets.iter().filter(|subnet| !within(subnet)).map(ToString::to_string).collect();
    if wide.is_empty() {
        return Ok(machine.private_subnets.clone());
    }
    let message = format!(
        "reading the metadata: {} of its private_subnets lies in no private network (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10), \
         and who is there would reach what is for the site's nodes alone: name the prefixes under `metadata.private_subnets` of the site",
        wide.join(" and ")
    );
    Err(Failure::new(Reason::MetadataInvalid, message))
}

/// Whether a node's progress may be told to that URL, which the metadata names: to the service itself (`base`), on the link, or to whom the
/// site names.
pub(super) fn may_hear(url: &str, base: &str, plan: &Plan) -> bool {
    let host = host(url);
    let named = || plan.metadata.report_hosts.iter().any(|name| name.eq_ignore_ascii_case(host));
    host.eq_ignore_ascii_case(self::host(base)) || host.parse().is_ok_and(on_link) || named()
}

fn on_link(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The host of a URL, without brackets; empty when there is somebody's name before it, who may look like a host.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    if authority.contains('@') {
        return "";
    }
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "border_tests.rs"]
mod tests;
