//! What a stranger may say of this machine, by table.
//! May not reach anything.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use anymetal_contract::plan::Arch;
use serde_json::{Value, json};

use super::*;
use crate::facts;
use crate::goldens::{self, documents};
use crate::metadata::read;

fn document(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(documents().join(name)).unwrap()).unwrap()
}

/// The document with one thing in another's place.
fn with(pointer: &str, value: &Value) -> String {
    let mut document = document("v4-v6.json");
    *document.pointer_mut(pointer).unwrap() = value.clone();
    document.to_string()
}

fn refused(text: &str) -> String {
    let failure = read("equinix-metal", text).map(|machine| machine.hostname).unwrap_err();
    assert_eq!(failure.reason, Reason::MetadataInvalid);
    failure.chain()
}

#[test]
fn a_hostname_is_one_of_rfc_1123_or_refused_by_name() {
    for good in ["edge-1", "Edge-1.example.org", "1", "a.b.c", &"a".repeat(63), "7c9a1f0e-5d3b-4c62-9f1a-2b8e6d4c0a11"]
    {
        assert_eq!(bad_hostname(good), None, "{good:?}");
    }
    assert_eq!(read("equinix-metal", with("/hostname", &json!("edge-1."))).unwrap().hostname, "edge-1");
    for bad in [
        r#"x"; } agent_prefix "" { policy = "write"#,
        "edge 1",
        "edge_1",
        "-edge",
        "edge-",
        "a..b",
        ".a",
        "edge\u{202e}1",
        "${node}",
        "zürich",
        &"a".repeat(64),
        &"a.".repeat(128),
    ] {
        assert!(bad_hostname(bad).is_some(), "{bad:?}");
        let said = refused(&with("/hostname", &json!(bad)));
        assert!(said.contains("hostname is ") && !said.contains('\u{202e}'), "{said}");
    }
    let machine = r#"{"kind":"anymetal.machine","version":1,"addresses":{},"hostname":"edge 1"}"#;
    let said = read("file", machine).unwrap_err().chain();
    let expected = "reading the metadata: hostname is \"edge 1\", which is no name of a host: give the machine one of letters, digits and hyphens, \
                    in labels of at most 63 joined by dots (RFC 1123)";
    assert_eq!(said, expected);
    let by_id = r#"{"kind":"anymetal.machine","version":1,"addresses":{},"id":"rack 7/u12"}"#;
    let said = read("file", by_id).unwrap_err().chain();
    assert!(said.starts_with("reading the metadata: id, in place of a hostname, is \"rack 7/u12\""), "{said}");
}

#[test]
fn other_words_have_nothing_that_a_configuration_takes_for_its_own() {
    for good in ["da11", "rack 7/u12 (left)", "a.b_c:d@e+f,g=h"] {
        assert_eq!(bad_word(good), None, "{good:?}");
    }
    for bad in
        ["a\"b", "a'b", "a`b", "a\\b", "a{b", "a}b", "a;b", "a#b", "a$b", "a\u{202e}b", "a\u{85}b", "a\nb", "a<b", "é"]
    {
        assert!(bad_word(bad).is_some(), "{bad:?}");
        for at in ["/id", "/metro", "/facility"] {
            let said = refused(&with(at, &json!(bad)));
            assert!(
                said.contains(&at[1..]) && !said.chars().any(|c| c.is_control() || c == '\u{202e}'),
                "{at}: {said}"
            );
        }
    }
}

#[test]
fn addresses_that_no_machine_has_are_refused() {
    for (at, value, said) in [
        ("/network/addresses/2/address", "127.0.0.1", "the private IPv4 address is 127.0.0.1, a loopback address"),
        ("/network/addresses/2/address", "0.0.0.0", "the private IPv4 address is 0.0.0.0, no address at all"),
        ("/network/addresses/2/address", "224.0.0.5", "the private IPv4 address is 224.0.0.5, a multicast address"),
        ("/network/addresses/2/address", "255.255.255.255", "255.255.255.255, a reserved address"),
        (
            "/network/addresses/2/gateway",
            "0.1.2.3",
            "the gateway of the private IPv4 address is 0.1.2.3, an address of no network",
        ),
        ("/bgp_neighbors/0/peer_ips/0", "127.0.0.53", "a BGP neighbour's address is 127.0.0.53, a loopback address"),
        ("/bgp_neighbors/1/peer_ips/0", "ff02::1", "a BGP neighbour's address is ff02::1, a multicast address"),
        ("/bgp_neighbors/1/peer_ips/0", "::", "a BGP neighbour's address is ::, no address at all"),
        ("/bgp_neighbors/1/peer_ips/0", "::ffff:10.0.0.1", "an IPv4 address in the form of IPv6"),
    ] {
        let all = refused(&with(at, &json!(value)));
        assert!(all.contains(said), "{at} {value}: {all}");
    }
    for address in ["10.66.142.0", "10.66.142.127"] {
        let mut document = document("v4-v6.json");
        document["network"]["addresses"][2]["cidr"] = 25.into();
        document["network"]["addresses"][2]["address"] = address.into();
        let all = refused(&document.to_string());
        assert!(all.contains(&format!("is {address}, which on a link of /25 is no machine's")), "{all}");
    }
    let all = refused(&with("/network/addresses/1/address", &json!("fe80::5")));
    assert!(all.contains("the public IPv6 address is fe80::5, which others on its link alone can reach"), "{all}");
    let all = refused(&with("/network/addresses/2/cidr", &json!(0)));
    assert!(all.contains("the private IPv4 address has a link of /0, and none is wider than /8"), "{all}");
    for asn in [0u32, 23_456, 65_535, u32::MAX] {
        let all = refused(&with("/bgp_neighbors/0/peer_as", &json!(asn)));
        assert!(all.contains(&format!("has peer_as {asn}, which nobody may have")), "{all}");
    }
    let many: Vec<String> = (0..=64).map(|n| format!("10.{n}.0.0/16")).collect();
    let all = refused(&with("/private_subnets", &json!(many)));
    assert!(all.contains("private_subnets are 65, and at most 64 are taken"), "{all}");
}

#[test]
fn a_private_subnet_is_no_wider_than_private_networks_unless_the_site_names_its_own() {
    let mut plan = goldens::plan(vec![]);
    let of = |subnets: &[&str], plan: &Plan| {
        let machine = read("equinix-metal", with("/private_subnets", &json!(subnets))).unwrap();
        let facts = facts::make(plan, &machine, &goldens::secrets(), Arch::X86_64).map(|_| ());
        let subnets =
            private_subnets(plan, &machine).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(facts.is_ok(), subnets.is_ok(), "what `rehearse` says is what a node says");
        subnets.map_err(|failure| failure.chain())
    };
    for good in ["10.0.0.0/8", "10.66.0.0/16", "172.16.0.0/12", "192.168.7.0/24", "100.64.0.0/10", "10.1.2.3/32"] {
        assert_eq!(of(&[good], &plan).unwrap(), [good]);
    }
    assert_eq!(of(&[], &plan).unwrap(), [""; 0]);
    for bad in
        ["0.0.0.0/0", "8.0.0.0/7", "10.0.0.0/7", "198.51.100.0/24", "169.254.0.0/16", "127.0.0.0/8", "172.0.0.0/8"]
    {
        let said = of(&["10.0.0.0/8", bad], &plan).unwrap_err();
        assert!(said.contains(&format!("{bad} of its private_subnets lies in no private network")), "{said}");
        assert!(said.ends_with("name the prefixes under `metadata.private_subnets` of the site"), "{said}");
    }
    plan.metadata.private_subnets = vec!["198.51.100.0/24".into()];
    assert_eq!(of(&["0.0.0.0/0"], &plan).unwrap(), ["198.51.100.0/24"]);
}

#[test]
fn progress_is_told_to_the_service_itself_on_the_link_or_to_whom_the_site_names() {
    let mut plan = goldens::plan(vec![]);
    let base = "https://metadata.platform.example:8443";
    for (url, may) in [
        ("https://metadata.platform.example/events", true),
        ("http://METADATA.platform.example:1/events", true),
        ("http://169.254.169.254/events", true),
        ("http://[fe80::1]/events", true),
        ("http://tinkerbell.platform.example/events", false),
        ("http://10.0.0.1/events", false),
        ("http://metadata.platform.example@evil.example/", false),
        ("http://evil.example\\@metadata.platform.example/", false),
        ("http://evil.example#metadata.platform.example/", false),
        ("http://metadata.platform.example.evil.example/", false),
        ("http:///x", false),
    ] {
        assert_eq!(may_hear(url, base, &plan), may, "{url}");
    }
    plan.metadata.report_hosts = vec!["tinkerbell.platform.example".into()];
    assert!(may_hear("http://tinkerbell.platform.example/events", base, &plan));
}

#[test]
fn a_link_local_neighbour_has_its_interface_on_every_platform() {
    let vultr = |key: &str, value: &str| {
        let mut document = document("vultr-vps.json");
        document["bgp"]["ipv6"][key] = value.into();
        read("vultr", document.to_string()).map_err(|failure| failure.chain())
    };
    let equinix = |peer: &str| {
        let text = with("/bgp_neighbors/1/peer_ips/0", &json!(peer));
        read("equinix-metal", &text).map_err(|failure| failure.chain())
    };
    let said = "the BGP neighbour fe80::1 is link-local, so it needs the name of the interface that it is on: write it behind the address, as in \
                fe80::1%eth0";
    for refused in [vultr("peer-address", "fe80::1"), equinix("fe80::1")] {
        assert!(refused.as_ref().is_err_and(|chain| chain.ends_with(said)), "{refused:?}");
    }
    for machine in [vultr("peer-address", "fe80::1%bond0").unwrap(), equinix("fe80::1%bond0").unwrap()] {
        let neighbour = machine.neighbours.iter().find(|neighbour| is_link_local(neighbour.address)).unwrap();
        assert_eq!(
            (neighbour.interface.as_deref(), neighbour.multihop, neighbour.way),
            (Some("bond0"), 1, Way::OnLink)
        );
    }
    let refused = vultr("my-address", "fe80::5%bond0").unwrap_err();
    assert!(refused.contains("has my-address on another interface than peer-address"), "{refused}");
    assert!(
        refused.contains("the source of the session with 2001:19f0:ffff::1 is fe80::5, which is link-local"),
        "{refused}"
    );
}
