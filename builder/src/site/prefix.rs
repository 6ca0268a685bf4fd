//! Prefixes: which may be announced, from which somebody may come, and what may stand beside what.
//! May not know which prefixes a project really holds: nobody here can ask.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::diagnostic::{Complaint, Findings, Mark, quoted};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// More than this per neighbour and family, and Equinix Metal drops the session ("Local and Global BGP", prefix limit).
pub(super) const PER_NEIGHBOUR: usize = 10;

/// What is never announced (RFC 6890 and its registries).
const NEVER: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this-network"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::ffff:0.0.0.0/96", "IPv4-mapped"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

/// What is announced only inside a network of one's own.
const INSIDE: &[&str] = &["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/// Whether a prefix lies within a network of one's own (RFC 1918, 6598, 4193).
pub(super) fn is_inside(net: &IpNet) -> bool {
    INSIDE.iter().any(|range| fixed(range).contains(net))
}

/// One prefix of that family.
pub(super) fn prefix(text: &str, family: Family) -> Result<IpNet, Complaint> {
    let (name, longest, example) = match family {
        Family::V4 => ("IPv4", 32, "147.75.195.143/32"),
        Family::V6 => ("IPv6", 128, "2001:db8::7/128"),
    };
    let Ok(net) = IpNet::from_str(text) else {
        let hint = match text.parse::<IpAddr>() {
            Ok(address) if address.is_ipv4() == (family == Family::V4) => format!("write `{address}/{longest}`"),
            _ => format!("write it like `{example}`"),
        };
        return Err(Complaint::new(format!("{} is not an {name} prefix", quoted(text)), hint));
    };
    if matches!(net, IpNet::V4(_)) != (family == Family::V4) {
        let other = if family == Family::V4 { "anycast.v6" } else { "anycast.v4" };
        return Err(Complaint::new(
            format!("{} is not an {name} prefix", quoted(text)),
            format!("move it to `{other}`"),
        ));
    }
    if net.prefix_len() == 0 {
        return Err(Complaint::new(
            format!("{} is the default route", quoted(text)),
            "announcing it would draw all traffic of the network: write the prefix the project holds",
        ));
    }
    whole(text, net)?;
    if let Some((range, kind)) = NEVER.iter().find(|(range, _)| overlap(&net, &fixed(range))) {
        let what = format!("{} lies in {kind} space ({range}) or holds it", quoted(text));
        return Err(Complaint::new(what, "write the public prefix that the project holds for anycast"));
    }
    Ok(net)
}

/// Addresses of either family that somebody comes from; all of a family is allowed.
pub(super) fn source(text: &str) -> Result<IpNet, Complaint> {
    let Ok(net) = IpNet::from_str(text) else {
        let hint = match text.parse::<IpAddr>() {
            Ok(address) => format!("write `{}`", IpNet::from(address)),
            Err(_) => "write it like `198.51.100.0/24` or `2001:db8::/32`".to_owned(),
        };
        return Err(Complaint::new(format!("{} is not a prefix", quoted(text)), hint));
    };
    whole(text, net)?;
    Ok(net)
}

/// Whether a prefix has no bits behind its length.
fn whole(text: &str, net: IpNet) -> Result<(), Complaint> {
    if net.trunc() == net {
        return Ok(());
    }
    let what = format!("{} has bits set behind its length of {}", quoted(text), net.prefix_len());
    Err(Complaint::new(what, format!("write `{}`, or `{}`", net.trunc(), IpNet::from(net.addr()))))
}

/// What to know about a prefix that is allowed, but seldom meant.
pub(super) fn doubt(net: &IpNet) -> Option<Complaint> {
    let range = INSIDE.iter().find(|range| overlap(net, &fixed(range)))?;
    let what = format!("`{net}` is in private space ({range})");
    Some(Complaint::new(what, "nobody outside reaches it: write a public prefix unless that is what you want"))
}

/// Reports every prefix that is given twice or overlaps an earlier one, at the later of the two; `hint` says which to keep.
pub(super) fn compare(prefixes: &[(Mark, IpNet)], hint: &str, findings: &mut Findings) {
    for (later, (at, net)) in prefixes.iter().enumerate() {
        let Some((first, other)) = prefixes[..later].iter().find(|(_, other)| overlap(net, other)) else { continue };
        if net == other {
            findings.mistake(*at, format!("`{net}` is given twice, first at {first}"), "keep one of them");
        } else {
            let what = format!("`{net}` overlaps `{other}` at {first}");
            findings.mistake(*at, what, hint);
        }
    }
}

/// The prefixes by family, sorted.
pub(super) fn split(prefixes: impl IntoIterator<Item = IpNet>) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for net in prefixes {
        match net {
            IpNet::V4(net) => v4.push(net),
            IpNet::V6(net) => v6.push(net),
        }
    }
    v4.sort_unstable();
    v6.sort_unstable();
    (v4, v6)
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

fn fixed(range: &str) -> IpNet {
    range.parse().expect("the tables above hold prefixes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str, family: Family) -> String {
        prefix(text, family).map_or_else(|c| format!("{}; {}", c.what, c.hint), |net| format!("ok {net}"))
    }

    #[test]
    fn an_ipv4_prefix_is_one_that_can_be_announced() {
        let public = "write the public prefix that the project holds for anycast";
        for (text, expected) in [
            ("147.75.195.143/32", "ok 147.75.195.143/32".to_owned()),
            ("203.0.113.0/24", "ok 203.0.113.0/24".to_owned()),
            ("10.0.0.1/32", "ok 10.0.0.1/32".to_owned()),
            ("147.75.195.143", "`147.75.195.143` is not an IPv4 prefix; write `147.75.195.143/32`".to_owned()),
            ("147.75.195.143/33", "`147.75.195.143/33` is not an IPv4 prefix; write it like `147.75.195.143/32`".to_owned()),
            ("147.75.195.0143/32", "`147.75.195.0143/32` is not an IPv4 prefix; write it like `147.75.195.143/32`".to_owned()),
            ("147.75.195.143/28", "`147.75.195.143/28` has bits set behind its length of 28; write `147.75.195.128/28`, or `147.75.195.143/32`".to_owned()),
            ("0.0.0.0/0", "`0.0.0.0/0` is the default route; announcing it would draw all traffic of the network: write the prefix the project holds".to_owned()),
            ("127.0.0.1/32", format!("`127.0.0.1/32` lies in loopback space (127.0.0.0/8) or holds it; {public}")),
            ("64.0.0.0/2", format!("`64.0.0.0/2` lies in loopback space (127.0.0.0/8) or holds it; {public}")),
            ("224.0.0.5/32", format!("`224.0.0.5/32` lies in multicast space (224.0.0.0/4) or holds it; {public}")),
            ("169.254.1.0/24", format!("`169.254.1.0/24` lies in link-local space (169.254.0.0/16) or holds it; {public}")),
            ("255.255.255.255/32", format!("`255.255.255.255/32` lies in reserved space (240.0.0.0/4) or holds it; {public}")),
            ("2001:db8::/32", "`2001:db8::/32` is not an IPv4 prefix; move it to `anycast.v6`".to_owned()),
            ("::1", "`::1` is not an IPv4 prefix; write it like `147.75.195.143/32`".to_owned()),
        ] {
            assert_eq!(said(text, Family::V4), expected);
        }
    }

    #[test]
    fn an_ipv6_prefix_is_one_that_can_be_announced() {
        let public = "write the public prefix that the project holds for anycast";
        for (text, expected) in [
            ("2001:db8::7/128", "ok 2001:db8::7/128".to_owned()),
            ("2001:DB8:0:0::/64", "ok 2001:db8::/64".to_owned()),
            (
                "2001:db8::7/64",
                "`2001:db8::7/64` has bits set behind its length of 64; write `2001:db8::/64`, or `2001:db8::7/128`"
                    .to_owned(),
            ),
            ("2001:db8::7", "`2001:db8::7` is not an IPv6 prefix; write `2001:db8::7/128`".to_owned()),
            ("::1/128", format!("`::1/128` lies in loopback space (::1/128) or holds it; {public}")),
            ("fe80::1/128", format!("`fe80::1/128` lies in link-local space (fe80::/10) or holds it; {public}")),
            ("ff02::1/128", format!("`ff02::1/128` lies in multicast space (ff00::/8) or holds it; {public}")),
            (
                "::ffff:192.0.2.1/128",
                format!("`::ffff:192.0.2.1/128` lies in IPv4-mapped space (::ffff:0.0.0.0/96) or holds it; {public}"),
            ),
            ("192.0.2.1/32", "`192.0.2.1/32` is not an IPv6 prefix; move it to `anycast.v4`".to_owned()),
        ] {
            assert_eq!(said(text, Family::V6), expected);
        }
    }

    #[test]
    fn a_source_is_any_prefix_of_either_family() {
        for (text, expected) in [
            ("0.0.0.0/0", "ok 0.0.0.0/0"),
            ("::/0", "ok ::/0"),
            ("10.0.0.0/8", "ok 10.0.0.0/8"),
            ("2001:DB8::/32", "ok 2001:db8::/32"),
            ("192.0.2.7", "`192.0.2.7` is not a prefix; write `192.0.2.7/32`"),
            ("2001:db8::7", "`2001:db8::7` is not a prefix; write `2001:db8::7/128`"),
            ("office", "`office` is not a prefix; write it like `198.51.100.0/24` or `2001:db8::/32`"),
            (
                "192.0.2.7/24",
                "`192.0.2.7/24` has bits set behind its length of 24; write `192.0.2.0/24`, or `192.0.2.7/32`",
            ),
        ] {
            let said = source(text).map_or_else(|c| format!("{}; {}", c.what, c.hint), |net| format!("ok {net}"));
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn private_space_is_doubted() {
        for (text, doubted) in [
            ("10.1.0.0/16", true),
            ("100.64.0.0/24", true),
            ("fd00::/64", true),
            ("192.0.2.0/24", false),
            ("2001:db8::/48", false),
        ] {
            assert_eq!(doubt(&text.parse().unwrap()).is_some(), doubted, "{text}");
        }
    }
}
