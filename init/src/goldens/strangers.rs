//! Documents and plans as strangers might write them, each from a number: mostly plain, now and then odd in a field.
//! May not judge them.

use std::collections::BTreeSet;

use anymetal_contract::Plan;
use anymetal_contract::plan::{Anycast, Expose, Firewall, Guard, Password, Quorum, Tls};
use fastrand::Rng;
use serde_json::{Value, json};

use super::parts::{plan, template};
use super::{ONCE, TEMPLATES};

/// One document and the plan of the site that it is for.
pub(super) struct Stranger {
    pub(super) plan: Plan,
    pub(super) document: String,
}

/// Makes the document of this number. The same number makes the same document.
pub(super) fn stranger(number: u64) -> Stranger {
    let mut rng = Rng::with_seed(number);
    let rng = &mut rng;
    let (platform, document) = match rng.u8(..3) {
        0 => ("equinix-metal", equinix_metal(rng)),
        1 => ("vultr", vultr(rng)),
        _ => ("file", file(rng)),
    };
    let plan = Plan { platform: platform.into(), ..site(rng) };
    Stranger { plan, document: document.to_string() }
}

fn chance(rng: &mut Rng, percent: u8) -> bool {
    rng.u8(..100) < percent
}

fn pick<T: Clone>(rng: &mut Rng, of: &[T]) -> T {
    rng.choice(of).expect("the list is not empty").clone()
}

/// A plain value; one in so many is odd.
fn text(rng: &mut Rng, plain: impl Into<String>, odd: &[&str]) -> Value {
    if chance(rng, 2) { pick(rng, odd).into() } else { plain.into().into() }
}

const ODD_ADDRESSES: &[&str] = &[
    "",
    " ",
    "0.0.0.0",
    "::",
    "127.0.0.1",
    "::1",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "10.7.0.255",
    "10.7.0.0",
    "0.1.2.3",
    "240.0.0.1",
    "169.254.0.1",
    "::ffff:10.7.0.1",
    "::10.7.0.1",
    "64:ff9b::1",
    "fe80::1",
    "fe80::1%eth0",
    "fe80::1%bond0.100",
    "fe80::1%",
    "fe80::1%1",
    "fe80::1%eth0\"; x",
    "fe80::1%eth*",
    "2001:db8::1%eth0",
    "febf::9%eth1",
    "fec0::1",
    "010.7.0.1",
    "10.7.1",
    "10.7.0.1/32",
    " 10.7.0.9\n",
    "2001:DB8:0:0::0009",
    "fd00::1",
    "10.7.0.5",
    "2001:db8:7::5",
    "100.64.0.1",
    "8.8.8.8",
];
const ODD_NAMES: &[&str] = &[
    "",
    "x\"; } agent_prefix \"\" { policy = \"write",
    "a\nrouter id 1.2.3.4;",
    "#",
    "*/",
    "/*",
    "${a}",
    "{{ secrets }}",
    "{% raw %}",
    "a}b",
    "\u{202e}",
    "1",
    "bird",
    "protocol",
    "localhost",
    "-a",
    "a-",
    "a.",
    "a..b",
    "edge_1",
    "EDGE-1",
    "zürich",
    "xn--zrich-kva",
    "a'b",
    "a\\b",
    "a`b",
];
const ODD_PASSWORDS: &[&str] = &[
    "",
    " ",
    "a\"b",
    "a\\",
    "a\\\"b",
    "a'b",
    "a;b}",
    "#",
    "/* a",
    "ä#;{}'\\ %",
    "a\tb",
    "a\nb",
    "\u{2028}",
    "\u{feff}a",
    "日本語",
    "%s%n",
    "$(id)",
    "{{ x }}",
    "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
    "123456789012345678901234567890123456789012345678901234567890123456789012345678901",
];
const ODD_INTERFACES: &[&str] = &[
    "",
    "lo",
    "bond0.100",
    "enp1s0f0np0",
    "eth0*",
    "eth0\"",
    "eth 0",
    "1",
    ".",
    "..",
    "a/b",
    "abcdefghijklmno",
    "abcdefghijklmnop",
    "eth0:1",
    "ethé",
];
const ODD_SUBNETS: &[&str] = &[
    "10.0.0.0/8",
    "10.66.0.0/16",
    "10.7.0.5/24",
    "10.7.0.0/24",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "10.1.2.3/32",
    "fd00:1::/48",
    "0.0.0.0/0",
    "10.0.0.0/33",
    "203.0.113.0/24",
    "",
    "10.0.0.0",
    " 172.16.0.0/12",
];
const ODD_ASNS: &[u64] =
    &[0, 1, 23_456, 64_496, 65_534, 65_535, 65_536, 4_200_000_000, 4_294_967_294, 4_294_967_295, 4_294_967_296];

fn asn(rng: &mut Rng, plain: u64) -> u64 {
    if chance(rng, 4) { pick(rng, ODD_ASNS) } else { plain }
}

fn hostname(rng: &mut Rng) -> Value {
    let plain = format!("edge-{}", rng.u16(..));
    text(rng, plain, ODD_NAMES)
}

fn password(rng: &mut Rng) -> Value {
    match rng.u8(..6) {
        0 => pick(rng, ODD_PASSWORDS).into(),
        1 => pick(rng, &["a\\", "b\\\\c", "ä#;{}'\\ %", "日本語"]).into(),
        _ => "not-a-real-secret".into(),
    }
}

/// Prefixes of the private network: none, one, many, of the other family, each within another.
fn subnets(rng: &mut Rng) -> Value {
    match rng.u8(..8) {
        0 => json!([]),
        1 => Value::Null,
        2 => json!(["fd00:1::/48"]),
        3 => (0..rng.usize(1..70)).map(|n| format!("10.{n}.0.0/16")).collect::<Vec<_>>().into(),
        4 => (0..rng.usize(1..5)).map(|_| pick(rng, ODD_SUBNETS)).collect::<Vec<_>>().into(),
        _ => json!(["10.0.0.0/8"]),
    }
}

fn file(rng: &mut Rng) -> Value {
    let six = chance(rng, 60);
    let mut addresses = json!({"private4": {"address": text(rng, "10.7.0.5/24", &["10.7.0.5/31", "10.7.0.255/24", "10.7.0.5/0", "fe80::5/64", "169.254.3.4/16"])}});
    if chance(rng, 50) {
        addresses["private4"]["gateway"] = text(rng, "10.7.0.1", ODD_ADDRESSES);
    }
    if chance(rng, 50) {
        addresses["public4"] = json!({"address": "203.0.113.5/26", "gateway": text(rng, "203.0.113.1", ODD_ADDRESSES)});
    }
    if six {
        let gateway = if chance(rng, 50) { "fe80::1" } else { "2001:db8:7::1" };
        let address =
            text(rng, "2001:db8:7::5/64", &["fe80::5/64", "::ffff:10.7.0.9/96", "2001:db8:7::/64", "fd00::5/128"]);
        addresses["public6"] = json!({"address": address, "gateway": text(rng, gateway, ODD_ADDRESSES)});
    }
    let neighbours: Vec<Value> = (0..rng.usize(1..5)).map(|n| file_neighbour(rng, six && n % 2 == 1)).collect();
    let mut document = json!({"kind": "anymetal.machine", "version": 1, "hostname": hostname(rng), "addresses": addresses, "neighbours": neighbours});
    if chance(rng, 50) {
        document["private_subnets"] = subnets(rng);
    }
    if chance(rng, 20) {
        document["id"] = text(rng, "rack7-u12", ODD_NAMES);
    }
    document
}

fn file_neighbour(rng: &mut Rng, six: bool) -> Value {
    let mut neighbour = json!({"asn": asn(rng, 64_512), "local_asn": asn(rng, 64_513)});
    let mut set = |key: &str, value: Value| neighbour[key] = value;
    let last = rng.u8(6..200);
    match (six, rng.u8(..4)) {
        (true, 0) => {
            set("address", format!("fe80::{last}").into());
            set("interface", text(rng, "eth0", ODD_INTERFACES));
            if chance(rng, 30) {
                set(
                    "source",
                    pick(rng, &["fe80::5", "2001:db8:7::5", "fe80::5%eth0", "fe80::5%eth1", "10.7.0.5"]).into(),
                );
            }
        }
        (true, 1) => set("address", format!("fe80::{last}%eth{}", rng.u8(..3)).into()),
        (true, 2) => set("address", format!("2001:db8:7::{last}").into()),
        (true, _) => {
            set("address", "2001:db8:ffff::1".into());
            set("source", text(rng, "2001:db8:7::5", ODD_ADDRESSES));
            set("multihop", rng.u8(1..).into());
        }
        (false, 0) => {
            set("address", format!("10.9.0.{last}").into());
            set("source", text(rng, "10.7.0.5", ODD_ADDRESSES));
            set("multihop", pick(rng, &[2, 3, 255, 9, 5, 2, 64, 1, 256]).into());
            set("gateway", text(rng, "10.7.0.2", ODD_ADDRESSES));
        }
        (false, _) => set("address", text(rng, format!("10.7.0.{last}"), ODD_ADDRESSES)),
    }
    if chance(rng, 6) {
        set("interface", text(rng, "eth0", ODD_INTERFACES));
    }
    if chance(rng, 40) {
        set("password", password(rng));
    }
    neighbour
}

fn equinix_metal(rng: &mut Rng) -> Value {
    let address = |rng: &mut Rng, family: u8, public: bool, cidr: u8, address: &str, gateway: &str| {
        json!({
            "address_family": family, "public": public, "management": true, "enabled": true, "cidr": cidr,
            "address": text(rng, address, ODD_ADDRESSES), "gateway": text(rng, gateway, ODD_ADDRESSES),
        })
    };
    let addresses = json!([
        address(rng, 4, true, 31, "192.0.2.17", "192.0.2.16"),
        address(rng, 6, true, 127, "2001:db8:45d1:fd00::11", "2001:db8:45d1:fd00::10"),
        address(rng, 4, false, 31, "10.66.142.17", "10.66.142.16"),
    ]);
    let mut sessions = Vec::new();
    for (family, near, far) in [(4, "10.66.142.16", "169.254.255"), (6, "2001:db8:45d1:fd00::10", "fc00:0:0:0")] {
        let peers: Vec<Value> = (0..rng.usize(1..4))
            .map(|n| match (rng.u8(..6), family) {
                (0, _) => near.into(),
                (1, 6) => format!("fe80::{n}%bond0").into(),
                (_, 4) => text(rng, format!("{far}.{}", n + 1), ODD_ADDRESSES),
                _ => text(rng, format!("{far}:0:0:0:{:x}", 14 + n), ODD_ADDRESSES),
            })
            .collect();
        let md5 = chance(rng, 40);
        sessions.push(json!({
            "address_family": family, "customer_as": asn(rng, 65_000), "peer_as": asn(rng, 65_530), "multihop": chance(rng, 80),
            "md5_enabled": md5, "md5_password": if md5 { password(rng) } else { json!("") }, "peer_ips": peers,
        }));
    }
    json!({
        "id": text(rng, "7c9a1f0e-5d3b-4c62-9f1a-2b8e6d4c0a11", ODD_NAMES), "hostname": hostname(rng), "metro": text(rng, "da", ODD_NAMES),
        "facility": text(rng, "da11", ODD_NAMES), "private_subnets": subnets(rng), "network": {"addresses": addresses}, "bgp_neighbors": sessions,
    })
}

fn vultr(rng: &mut Rng) -> Value {
    let interfaces = json!([
        {
            "network-type": "public",
            "ipv4": {"address": text(rng, "192.0.2.77", ODD_ADDRESSES), "gateway": "192.0.2.1", "netmask": text(rng, "255.255.254.0", &["0.0.0.0", "", "255.0.255.0"]), "additional": []},
            "ipv6": {"address": "2001:db8:7400::1910", "prefix": text(rng, "64", &["129", "", "0", "128"])},
        },
        {"network-type": "private", "ipv4": {"address": text(rng, "10.1.112.3", ODD_ADDRESSES), "gateway": "", "netmask": "255.255.240.0"}, "ipv6": []},
    ]);
    let session = |rng: &mut Rng, own: &str, peer: &str| {
        json!({
            "my-address": text(rng, own, ODD_ADDRESSES), "my-asn": asn(rng, 4_200_000_123).to_string(),
            "peer-address": text(rng, peer, ODD_ADDRESSES), "peer-asn": asn(rng, 64_515).to_string(),
        })
    };
    let far = if chance(rng, 30) { "fe80::1%enp1s0" } else { "2001:19f0:ffff::1" };
    let bgp = json!({"ipv4": session(rng, "192.0.2.77", "169.254.169.254"), "ipv6": session(rng, "2001:db8:7400::1910", far)});
    json!({"hostname": hostname(rng), "instance-v2-id": "5d7a0c5e", "region": {"regioncode": text(rng, "EWR", ODD_NAMES)}, "interfaces": interfaces, "bgp": bgp})
}

/// A site as the builder takes it, with whatever it may say that a node renders.
fn site(rng: &mut Rng) -> Plan {
    let mut plan = plan(TEMPLATES.iter().chain(&ONCE).map(|name| template(name)).collect());
    let v4 = pick(rng, &[&["198.51.100.7/32"][..], &["198.51.100.7/32", "203.0.113.0/24"], &[]]);
    let v6 = pick(rng, &[&[][..], &["2001:db8:45d1:fd80::7/128"], &[]]);
    let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    plan.anycast = Anycast { v4: owned(if v6.is_empty() { &["198.51.100.7/32"] } else { v4 }), v6: owned(v6) };
    plan.bgp.communities = owned(pick(rng, &[&[][..], &["65000:1", "0:0", "65535:65281"]]));
    plan.bgp.peer_asn = pick(rng, &[None, None, Some(65_001), Some(4_200_000_000)]);
    plan.bgp.local_asn = pick(rng, &[None, None, Some(64_513), Some(1)]);
    plan.bgp.multihop = pick(rng, &[None, None, None, None, None, Some(2), Some(2), Some(255), Some(64), Some(1)]);
    plan.bgp.password = pick(rng, &[None, None, Some(Password::Secret)]);
    plan.metadata.private_subnets = owned(pick(rng, &[&[][..], &[], &["198.51.100.0/24", "10.0.0.0/8"]]));
    plan.settings.firewall = Firewall {
        ssh4: owned(pick(rng, &[&[][..], &["0.0.0.0/0"], &["10.0.0.0/8", "10.7.0.0/16"]])),
        ssh6: owned(pick(rng, &[&[][..], &["::/0"], &["2001:db8::/32", "fe80::/10"]])),
        tcp: pick(rng, &[vec![], vec![1, 65_535], vec![8_443, 9_000]]),
        udp: pick(rng, &[vec![], vec![443]]),
    };
    plan.settings.tls = pick(
        rng,
        &[
            Tls::None,
            Tls::Acme { email: "o'ops+x@example.org".into(), dns_provider: "route53".into() },
            Tls::Files { certificate: "/etc/ssl/a b.pem".into(), key: "/etc/ssl/k.pem".into() },
        ],
    );
    plan.settings.expose = pick(rng, &[None, Some(Expose::Plain)]);
    let quorum = Quorum { nodes: vec!["n2.example.org".into()], community: "65000:50".into() };
    plan.settings.guard = Guard { quorum: pick(rng, &[None, Some(quorum)]), ..Guard::default() };
    plan.domain = pick(rng, &["198.51.100.7.sslip.io", "cloud.example.org", "xn--zrich-kva.example"]).into();
    if chance(rng, 30) {
        let gone = BTreeSet::from(["nomad", "traefik", "bindle", "hippo", "spin"]);
        plan.components.retain(|component| !gone.contains(component.name.as_str()));
        plan.files.retain(|file| !gone.iter().any(|name| file.name.starts_with(&format!("{name}/"))));
    }
    plan
}
