//! `anycast` and `bgp`.
//! May not know what a platform says by itself: these keys only go over it.

use std::collections::BTreeMap;

use anymetal_contract::plan::{Bgp, Password};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::site::diagnostic::{Complaint, Findings, quoted};
use crate::site::fields::{self, Fields};
use crate::site::prefix::{self, Family, PER_NEIGHBOUR};
use crate::site::yaml::{Kind, Node};

/// `GRACEFUL_SHUTDOWN` (RFC 8326).
const DRAIN: &str = "65535:0";

/// `anycast`: the prefixes of both families, sorted.
pub(super) fn anycast(node: Option<&Node>, findings: &mut Findings) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
    let example = "anycast: {v4: [147.75.195.143/32]}";
    let Some((node, mut fields)) = node.and_then(|node| Some((node, Fields::of(node, "anycast", example, findings)?)))
    else {
        return (Vec::new(), Vec::new());
    };
    let mut all = Vec::new();
    let mut written = false;
    for (key, name, family, example) in [
        ("v4", "anycast.v4", Family::V4, "v4: [147.75.195.143/32]"),
        ("v6", "anycast.v6", Family::V6, "v6: [\"2001:db8::7/128\"]"),
    ] {
        let Some(value) = fields.take(key, findings) else { continue };
        let Some(items) = fields::list(value, name, example, findings) else {
            written = true;
            continue;
        };
        written |= !items.is_empty();
        if items.len() > PER_NEIGHBOUR {
            let what = format!("`{name}` has {} prefixes", items.len());
            let hint =
                format!("networks take few per neighbour: Equinix Metal {PER_NEIGHBOUR}, unless more are agreed on");
            findings.warning(value.at, what, hint);
        }
        for item in items {
            let Some(text) = fields::text(item, "a prefix", findings) else { continue };
            let Some(net) = findings.keep(item.at, prefix::prefix(text, family)) else { continue };
            if let Some(Complaint { what, hint }) = prefix::doubt(&net) {
                findings.warning(item.at, what, hint);
            }
            all.push((item.at, net));
        }
    }
    fields.end(&super::HOMES, findings);
    if !written {
        findings.mistake(node.at, "a site needs at least one anycast prefix", format!("write it like `{example}`"));
    }
    let hint = "keep the one that is to be announced: a route for both says the same thing twice";
    prefix::compare(&all, hint, findings);
    prefix::split(all.into_iter().map(|(_, net)| net))
}

/// `bgp`: what the site says over the metadata.
pub(super) fn bgp(node: Option<&Node>, findings: &mut Findings) -> Bgp {
    let Some(mut fields) = node.and_then(|node| Fields::of(node, "bgp", "bgp: {peer_asn: 65530}", findings)) else {
        return Bgp::default();
    };
    let local_asn = fields.take("local_asn", findings).and_then(|node| asn(node, "`bgp.local_asn`", findings));
    let peer_asn = fields.take("peer_asn", findings).and_then(|node| asn(node, "`bgp.peer_asn`", findings));
    let multihop = fields.take("multihop", findings).and_then(|node| {
        let hops = fields::number(node, "`bgp.multihop`", 1..=255, findings)?;
        u8::try_from(hops).ok()
    });
    let password = fields.take("password", findings).and_then(|node| password(node, findings));
    let communities = fields.take("communities", findings).map(|node| communities(node, findings)).unwrap_or_default();
    fields.end(&super::HOMES, findings);
    Bgp { local_asn, peer_asn, multihop, password, communities }
}

/// Only the word that says where it is. Whatever else stands here may be the password, so it is not repeated.
fn password(node: &Node, findings: &mut Findings) -> Option<Password> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.text == "secret" => return Some(Password::Secret),
        _ => findings.mistake(
            node.at,
            "`bgp.password` is neither left out nor the word `secret`",
            "secrets do not belong in a site: write `password: secret`, and the password as `bgp_password` of the secrets",
        ),
    }
    None
}

/// An autonomous system number in plain notation (RFC 5396), and none of those that may not appear.
fn asn(node: &Node, name: &str, findings: &mut Findings) -> Option<u32> {
    let number = fields::number(node, name, 1..=u64::from(u32::MAX - 1), findings)?;
    let number = u32::try_from(number).ok()?;
    let reserved = match number {
        23456 => "stands in for four-byte numbers (RFC 6793)",
        65535 => "is reserved (RFC 7300)",
        _ => return Some(number),
    };
    findings.mistake(
        node.at,
        format!("{name} cannot be {number}, which {reserved}"),
        "write the number that the network gave you",
    );
    None
}

fn communities(node: &Node, findings: &mut Findings) -> Vec<String> {
    let example = "communities: [\"54825:222\"]";
    let Some(items) = fields::list(node, "bgp.communities", example, findings) else { return Vec::new() };
    let mut seen = BTreeMap::new();
    let mut communities = Vec::new();
    for item in items {
        let Some(value) = community(item, findings) else { continue };
        if let Some(first) = seen.insert(value.clone(), item.at) {
            findings.mistake(item.at, format!("`{value}` is given twice, first at {first}"), "keep one of them");
            continue;
        }
        communities.push(value);
    }
    communities
}

/// A community that a site may name, and a word about one that does what few would want.
pub(super) fn community(node: &Node, findings: &mut Findings) -> Option<String> {
    let text = fields::text(node, "a community", findings)?;
    let value = findings.keep(node.at, numbers(text))?;
    if value == DRAIN {
        let what =
            format!("`{value}` asks the network to go elsewhere, which a node says by itself while it is drained");
        findings.mistake(node.at, what, "remove it: `anymetal-init drain` is how a node says so");
        return None;
    }
    // RFC 7999; Equinix Metal's own is in its "BGP global communities"
    if ["65535:666", "54825:666"].contains(&value.as_str()) {
        let what = format!("`{value}` asks the network to drop all traffic to the prefixes");
        findings.warning(node.at, what, "remove it unless the site is to be unreachable");
    }
    Some(value)
}

/// A community of RFC 1997: two numbers of sixteen bits.
fn numbers(text: &str) -> Result<String, Complaint> {
    let parts: Vec<&str> = text.split(':').collect();
    let plain = |part: &&&str| part.bytes().all(|b| b.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
    let numbers: Option<Vec<u64>> =
        parts.iter().map(|part| Some(part).filter(plain).and_then(|part| part.parse().ok())).collect();
    let hint = match numbers.as_deref() {
        Some(&[asn, value]) if asn <= 0xFFFF && value <= 0xFFFF => return Ok(format!("{asn}:{value}")),
        Some(&[_, _]) => "both numbers go from 0 to 65535",
        Some(&[_, _, _]) => "large communities are not supported: write two numbers, as in `54825:222`",
        _ => "write two numbers with a colon between them, as in `54825:222`",
    };
    Err(Complaint::new(format!("{} is not a community", quoted(text)), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_community_is_two_short_numbers() {
        for (text, good) in [
            ("54825:222", true),
            ("0:0", true),
            ("65535:65535", true),
            ("65536:1", false),
            ("1:65536", false),
            ("54825", false),
            ("1:2:3", false),
            ("01:2", false),
            ("1:", false),
            ("-1:2", false),
            ("1 :2", false),
            ("99999999999999999999:2", false),
        ] {
            assert_eq!(numbers(text).is_ok(), good, "{text}");
        }
    }
}
