//! What Vultr's document becomes, by table and by property.
//! May not hold documents: those lie in `tests/metadata`.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use anymetal_contract::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Way;
use super::super::mutations::{self, any_changes, any_json};
use super::*;
use crate::goldens::documents;

fn document(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(documents().join(name)).unwrap()).unwrap()
}

/// The document with these changes, each a JSON pointer and what stands there now.
fn changed(name: &str, changes: &[(&str, Value)]) -> String {
    let mut document = document(name);
    for (at, value) in changes {
        *document.pointer_mut(at).unwrap_or_else(|| panic!("{name} has no {at}")) = value.clone();
    }
    document.to_string()
}

fn machine(name: &str, changes: &[(&str, Value)]) -> Machine {
    read(&changed(name, changes)).unwrap_or_else(|failure| panic!("{}", failure.chain()))
}

/// The sentences of the failure.
fn problems(name: &str, changes: &[(&str, Value)]) -> Vec<String> {
    let failure = read(&changed(name, changes)).unwrap_err();
    assert_eq!(failure.reason, Reason::MetadataInvalid);
    failure.chain().strip_prefix("reading the metadata: ").unwrap().split("; ").map(str::to_owned).collect()
}

/// Each session in one line.
fn sessions(machine: &Machine) -> Vec<String> {
    let line = |n: &super::super::Neighbour| {
        format!(
            "{} as {} to {} as {}, {} hops, {:?}",
            n.source.unwrap(),
            n.local_asn,
            n.address,
            n.asn,
            n.multihop,
            n.way
        )
    };
    machine.neighbours.iter().map(line).collect()
}

#[test]
fn a_virtual_server_has_a_session_per_family_that_is_on() {
    let machine = machine("vultr-vps.json", &[]);
    assert_eq!(
        sessions(&machine),
        [
            "192.0.2.77 as 4200000123 to 169.254.169.254 as 64515, 2 hops, Via(192.0.2.1)",
            "2001:db8:7400:7ccf:5428:d5ff:fe28:1910 as 4200000123 to 2001:19f0:ffff::1 as 64515, 2 hops, Default",
        ]
    );
    assert!(machine.neighbours.iter().all(|neighbour| neighbour.password.is_none()), "the platform tells none");
    let (private, public) = (machine.private4.unwrap(), machine.public4.unwrap());
    assert_eq!((private.address.to_string(), private.length, private.gateway), ("10.1.112.3".into(), 20, None));
    assert_eq!((public.address.to_string(), public.length), ("192.0.2.77".into(), 23));
    assert_eq!(machine.public6.unwrap().length, 64);
    assert_eq!(machine.private_subnets, ["10.1.112.0/20".parse().unwrap()]);
    assert_eq!((machine.metro.as_deref(), machine.warnings.len()), (Some("EWR"), 0));
    assert_eq!(machine.id.as_deref(), Some("5d7a0c5e-2f1b-4a52-9a8e-30d5c1b70f11"));
}

#[test]
fn a_bare_metal_server_has_another_neighbour() {
    assert_eq!(
        sessions(&machine("vultr-bare-metal.json", &[])),
        ["198.51.100.131 as 64512 to 169.254.1.1 as 20473, 2 hops, Via(198.51.100.129)"]
    );
}

#[test]
fn empty_fields_mean_that_bgp_is_off() {
    assert_eq!(sessions(&machine("vultr-bgp-off.json", &[])), [""; 0]);
    for bgp in [Value::Null, json!([]), json!({}), json!({"ipv4": [], "ipv6": {}})] {
        assert_eq!(sessions(&machine("vultr-vps.json", &[("/bgp", bgp.clone())])), [""; 0], "{bgp}");
    }
}

#[test]
fn a_document_without_interfaces_still_has_its_sessions() {
    let recorded = machine("vultr-v1-bgp-on.json", &[]);
    assert_eq!(
        sessions(&recorded),
        [
            "192.0.2.2 as 64496 to 169.254.169.254 as 64515, 2 hops, Default",
            "2001:db8:7400:7ccf:5428:d5ff:fe28:1910 as 64496 to 2001:19f0:ffff::1 as 64515, 2 hops, Default",
        ]
    );
    assert_eq!((recorded.warnings.len(), recorded.private4, recorded.public4), (0, None, None));
}

#[test]
fn a_session_may_come_from_a_further_address_and_its_neighbour_be_on_the_link() {
    let further = machine("vultr-vps.json", &[("/bgp/ipv4/my-address", json!("192.0.3.9"))]);
    assert!(sessions(&further)[0].ends_with("2 hops, Via(192.0.2.1)"), "{:?}", sessions(&further));
    assert_eq!(further.warnings, [""; 0]);
    let near = machine("vultr-vps.json", &[("/bgp/ipv4/peer-address", json!("192.0.2.1"))]);
    assert_eq!((near.neighbours[0].way, near.neighbours[0].multihop), (Way::OnLink, 1));
}

#[test]
fn numbers_may_be_numbers() {
    let written =
        [("/bgp/ipv4/my-asn", json!(64_512)), ("/interfaces/0/ipv6/prefix", json!(56)), ("/instance-v2-id", json!(7))];
    let machine = machine("vultr-vps.json", &written);
    assert_eq!((machine.neighbours[0].local_asn, machine.public6.unwrap().length), (64_512, 56));
}

#[test]
fn everything_wrong_is_named_at_once() {
    let said = problems(
        "vultr-vps.json",
        &[
            ("/hostname", json!("edge\u{7}1")),
            ("/interfaces/0/ipv4/gateway", json!("gate")),
            ("/interfaces/0/ipv4/netmask", json!("255.0.255.0")),
            ("/interfaces/0/ipv6/prefix", json!("129")),
            ("/interfaces/1/ipv4/netmask", json!("")),
            ("/bgp/ipv4/my-asn", json!("")),
            ("/bgp/ipv4/peer-asn", json!("4294967296")),
            ("/bgp/ipv6/my-asn", json!("0")),
            ("/bgp/ipv6/peer-address", json!("169.254.169.254")),
        ],
    );
    assert_eq!(
        said,
        [
            r#"hostname is "edge\u{7}1", which is no name of a host: give the machine one of letters, digits and hyphens, in labels of at most 63 joined by dots (RFC 1123)"#,
            r#"interfaces[0].ipv4.gateway is "gate", which is not an IPv4 address"#,
            r#"interfaces[0].ipv4.netmask is "255.0.255.0", which is not a netmask"#,
            r#"interfaces[0].ipv6.prefix is "129", which is not a length from 0 to 128"#,
            "interfaces[1].ipv4 has an address and no netmask",
            "bgp.ipv4 has no my-asn, but other fields: BGP is half on",
            r#"bgp.ipv4.peer-asn is "4294967296", which is not an AS number"#,
            "bgp.ipv6 has my-asn 0, which nobody may have",
            "bgp.ipv6.peer-address is 169.254.169.254, in a session of IPv6",
        ]
    );
}

#[test]
fn a_field_of_another_type_is_named() {
    for (at, value, expected) in [
        ("/hostname", json!(true), "hostname is neither a text nor a number"),
        ("/interfaces", json!("two"), "interfaces is not a list"),
        ("/interfaces/1", json!("private"), "interfaces[1] is not an object"),
        (
            "/interfaces/0/ipv4/additional",
            json!({"address": "192.0.3.9"}),
            "interfaces[0].ipv4.additional is not a list",
        ),
        ("/bgp", json!("on"), "bgp is not an object"),
        ("/bgp/ipv4", json!(["169.254.169.254"]), "bgp.ipv4 is not an object"),
        ("/bgp/ipv6/my-asn", json!([64_512]), "bgp.ipv6.my-asn is neither a text nor a number"),
        ("/bgp/ipv6/my-asn", json!(-1), "bgp.ipv6.my-asn is neither a text nor a number"),
    ] {
        assert_eq!(problems("vultr-vps.json", &[(at, value)])[0], expected);
    }
}

#[test]
fn what_is_only_odd_is_a_warning() {
    for (at, value, expected) in [
        (
            "/bgp/ipv4/my-address",
            json!("192.0.2.99"),
            "bgp.ipv4 has my-address 192.0.2.99, which no interface has: the session will not come up before one does",
        ),
        (
            "/interfaces/1/network-type",
            json!("moon"),
            r#"interfaces[1] is on a network of type "moon": it is not used"#,
        ),
        ("/interfaces/1/network-type", json!(""), "interfaces[1] has no network-type: it is not used"),
        (
            "/interfaces/1/network-type",
            json!("public"),
            "interfaces[1] has a second public IPv4 address, 10.1.112.3: 192.0.2.77 is used",
        ),
        (
            "/interfaces/0/ipv4/gateway",
            json!("203.0.113.1"),
            "interfaces[0] has the gateway 203.0.113.1, which is not on the link of 192.0.2.77/23",
        ),
        (
            "/hostname",
            json!(""),
            r#"hostname is missing: the machine goes by its id "5d7a0c5e-2f1b-4a52-9a8e-30d5c1b70f11""#,
        ),
    ] {
        assert_eq!(machine("vultr-vps.json", &[(at, value)]).warnings, [expected], "{at}");
    }
}

#[test]
fn an_error_answer_is_not_a_machine() {
    let failure = read(r#"{"error":"Not Found"}"#).unwrap_err();
    assert_eq!(failure.reason, Reason::MetadataUnreachable);
    assert_eq!(failure.chain(), "reading the metadata: it is an error answer: Not Found");
    assert_eq!(read("{}").unwrap_err().reason, Reason::MetadataInvalid);
}

fn any_document() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["vultr-vps.json", "vultr-bare-metal.json", "vultr-v1-bgp-on.json"]).prop_map(document)
}

/// Nothing in these documents is secret; this stands in none of them.
const NOWHERE: &str = "zq-unmistakable-9";

proptest! {
    #[test]
    fn no_mutation_makes_the_reader_panic(document in any_document(), changes in any_changes()) {
        mutations::survives(read, &changes.made_to(&document), NOWHERE)?;
    }

    #[test]
    fn no_json_and_no_bytes_make_the_reader_panic(value in any_json(), text in any::<String>()) {
        mutations::survives(read, &value.to_string(), NOWHERE)?;
        mutations::survives(read, &text, NOWHERE)?;
    }
}
