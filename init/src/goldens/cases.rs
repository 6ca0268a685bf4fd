//! Which documents are taken through every stage, and on which sites.
//! May not hold a document: those lie in `tests/metadata`.

use anymetal_contract::plan::{Bgp, Password, Tls};

/// One document on one site.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) platform: &'static str,
    pub(super) document: &'static str,
    pub(super) v4: &'static [&'static str],
    pub(super) v6: &'static [&'static str],
    pub(super) bgp: fn() -> Bgp,
    /// `None`: only what depends on a document. Otherwise everything, with certificates made so.
    pub(super) whole: Option<fn() -> Tls>,
}

const V4: &[&str] = &["198.51.100.7/32"];
const V6: &[&str] = &["2001:db8:45d1:fd80::7/128"];

const fn case(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    Case { name, platform: "equinix-metal", document: name, v4, v6, bgp: Bgp::default, whole: None }
}

/// As the builder makes plans for it: the platform tells no password.
const fn vultr(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    let bgp = || Bgp { password: Some(Password::Secret), ..Bgp::default() };
    Case { platform: "vultr", bgp, ..case(name, v4, v6) }
}

const fn file(name: &'static str, v4: &'static [&'static str], v6: &'static [&'static str]) -> Case {
    Case { platform: "file", ..case(name, v4, v6) }
}

pub(super) const CASES: &[Case] = &[
    case("hollow-instance-a", V4, &[]),
    case("hollow-instance-c", V4, &[]),
    case("packngo-device-2018", V4, &[]),
    case("no-session", V4, V6),
    case("v4-multihop", V4, &[]),
    case("v4-multihop-md5", V4, &[]),
    case("v4-v6", V4, V6),
    case("v4-v6-expanded", &["198.51.100.7/32", "203.0.113.0/24"], V6),
    case("v6-only", &[], V6),
    case("v4-on-link", V4, &[]),
    case("v4-routes-out", V4, &[]),
    case("v4-asn-32-bit", V4, &[]),
    case("v4-customer-ip-differs", V4, &[]),
    case("v4-unknown-keys", V4, &[]),
    Case { document: "v4-v6", whole: Some(|| Tls::None), ..case("whole", V4, V6) },
    Case {
        document: "v4-multihop-md5",
        whole: Some(|| Tls::Acme { email: "ops@example.org".into(), dns_provider: "route53".into() }),
        ..case("whole-acme", V4, &[])
    },
    Case {
        document: "v4-on-link",
        whole: Some(|| Tls::Files { certificate: "/etc/ssl/site.crt".into(), key: "/etc/ssl/private/site.key".into() }),
        ..case("whole-files", V4, &[])
    },
    Case { document: "v4-multihop", ..case("v4-session-v6-prefix", V4, V6) },
    Case {
        document: "v4-v6",
        bgp: || Bgp {
            local_asn: Some(64_512),
            peer_asn: Some(64_513),
            multihop: Some(2),
            password: None,
            communities: vec!["54825:222".into(), "64512:1".into()],
        },
        ..case("v4-overridden", V4, &[])
    },
    Case {
        document: "v4-multihop",
        bgp: || Bgp { multihop: Some(1), ..Bgp::default() },
        ..case("v4-multihop-of-one-hop", V4, &[])
    },
    vultr("vultr-v1-bgp-on", V4, V6),
    vultr("vultr-vps", V4, V6),
    vultr("vultr-bare-metal", V4, &[]),
    vultr("vultr-bgp-off", V4, &[]),
    vultr("vultr-no-private-network", V4, &[]),
    file("file-rack", V4, &[]),
    file("file-v4-v6", V4, V6),
    file("file-contradictory", V4, V6),
    file("file-link-local", V4, V6),
];
