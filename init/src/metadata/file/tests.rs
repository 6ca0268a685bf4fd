//! What a machine's own document becomes, by table and by property.
//! May not hold long documents: those lie in `tests/metadata`.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use anymetal_contract::Reason;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Way;
use super::super::mutations::{self, any_changes, any_json};
use super::*;
use crate::goldens::documents;

const PASSWORD: &str = "not-a-real-secret";

fn document(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(documents().join(name)).unwrap()).unwrap()
}

/// The document with these changes, each a JSON pointer and what stands there now.
fn changed(name: &str, changes: &[(&str, Value)]) -> String {
    let mut document = document(name);
    for (at, value) in changes {
        let (parent, key) = at.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    document.to_string()
}

fn machine(name: &str, changes: &[(&str, Value)]) -> Machine {
    read(&changed(name, changes)).unwrap_or_else(|failure| panic!("{}", failure.chain()))
}

/// What is said of a text that is no document.
fn refused(text: &str) -> String {
    let failure = read(text).unwrap_err();
    assert_eq!(failure.reason, Reason::MetadataInvalid);
    failure.chain().strip_prefix("reading the metadata: ").unwrap().to_owned()
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
fn a_rack_has_a_neighbour_on_the_link_and_one_behind_a_router() {
    let machine = machine("file-rack.json", &[]);
    assert_eq!(
        sessions(&machine),
        [
            "10.7.0.5 as 64513 to 10.7.0.1 as 64512, 1 hops, OnLink",
            "10.7.0.5 as 64513 to 10.9.0.1 as 4200000001, 3 hops, Via(10.7.0.2)",
        ]
    );
    let passwords: Vec<_> =
        machine.neighbours.iter().map(|n| n.password.as_ref().map(crate::secret::Secret::expose)).collect();
    assert_eq!(passwords, [Some(PASSWORD), None]);
    assert_eq!((machine.id.as_deref(), machine.metro.as_deref()), (Some("rack7-u12"), Some("ams")));
    assert_eq!(machine.private_subnets, ["10.7.0.0/16".parse().unwrap()]);
    assert_eq!(machine.warnings, [""; 0]);
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let both = machine("file-v4-v6.json", &[]);
    assert_eq!(
        sessions(&both),
        [
            "10.7.1.5 as 64513 to 10.7.1.4 as 64512, 1 hops, OnLink",
            "2001:db8:7::5 as 64513 to 2001:db8:ffff::1 as 64512, 4 hops, Default",
        ]
    );
    assert_eq!(both.private_subnets, ["10.7.1.4/31".parse().unwrap()], "the link of private4");
    assert_eq!(
        both.warnings,
        ["addresses.public4 has the gateway 203.0.113.65, which is not on the link of 203.0.113.70/32: \
             neighbours behind it go by the machine's default route"]
    );
    let behind = machine("file-rack.json", &[("/neighbours/1/gateway", Value::Null)]);
    assert_eq!(behind.neighbours[1].way, Way::Via("10.7.0.1".parse().unwrap()), "the gateway of the source's link");
    let nameless = machine("file-rack.json", &[("/hostname", Value::Null)]);
    assert_eq!(nameless.hostname, "rack7-u12");
    let lonely = read(r#"{"kind":"anymetal.machine","version":1,"hostname":"a","addresses":{}}"#).unwrap();
    assert_eq!((lonely.private4, lonely.neighbours.len(), lonely.private_subnets.len()), (None, 0, 0));
}

#[test]
fn a_document_of_another_kind_or_version_says_so_and_nothing_else() {
    for (text, expected) in [
        ("{}", "the document has no kind; the document has no version"),
        (r#"{"kind":"anymetal.plan","version":1,"x":1}"#, r#"kind is "anymetal.plan", not "anymetal.machine""#),
        (r#"{"kind":"anymetal.machine","version":2,"x":1}"#, "version is 2, and this init (0.1.0) reads version 1"),
        (r#"{"kind":"anymetal.machine","version":"1"}"#, "version must be a whole number"),
        (r#"{"kind":1,"version":1}"#, "kind must be a text"),
        ("[]", "the document must be an object"),
        ("", "it is empty"),
        (
            r#"{"kind":"anymetal.machine""#,
            "it is cut off after 26 bytes: EOF while parsing an object at line 1 column 26",
        ),
        ("kind: anymetal.machine", "it is not JSON: expected value at line 1 column 1"),
    ] {
        assert_eq!(refused(text), expected, "{text}");
    }
}

#[test]
fn each_mistake_has_its_sentence() {
    for (at, value, expected) in [
        (
            "/hostnme",
            json!("x"),
            r#"the document has the unknown key "hostnme": known here are kind, version, id, metro, facility, hostname, addresses, private_subnets, neighbours"#,
        ),
        (
            "/neighbours/0/peer",
            json!(1),
            r#"neighbours[0] has the unknown key "peer": known here are address, interface, asn, local_asn, source, multihop, gateway, password"#,
        ),
        (
            "/hostname",
            json!("a\nb"),
            r#"hostname is "a\nb", which is no name of a host: give the machine one of letters, digits and hyphens, in labels of at most 63 joined by dots (RFC 1123)"#,
        ),
        ("/hostname", json!(7), "hostname must be a text"),
        ("/addresses", Value::Null, "the document has no addresses"),
        ("/addresses/private4", json!("10.7.0.5/24"), "addresses.private4 must be an object"),
        (
            "/addresses/public4/address",
            json!("203.0.113.5"),
            r#"addresses.public4.address is "203.0.113.5", which is not an address and the length of its link, as in 10.7.0.5/24"#,
        ),
        (
            "/addresses/public4/address",
            json!("203.0.113.5/+1"),
            r#"addresses.public4.address is "203.0.113.5/+1", which is not an address and the length of its link, as in 10.7.0.5/24"#,
        ),
        (
            "/addresses/public4/address",
            json!("2001:db8::5/26"),
            r#"addresses.public4.address is "2001:db8::5", which is not an IPv4 address"#,
        ),
        (
            "/addresses/public4/gateway",
            json!("fe80::1"),
            r#"addresses.public4.gateway is "fe80::1", which is not an IPv4 address"#,
        ),
        ("/addresses/public4/gateway", json!("203.0.113.5"), "addresses.public4 has its own address for a gateway"),
        ("/private_subnets", json!("10.7.0.0/16"), "private_subnets must be a list"),
        (
            "/private_subnets",
            json!(["10.7.0.0/33", 1]),
            r#"private_subnets[0] is "10.7.0.0/33", which is not an IPv4 prefix; private_subnets[1] must be a text"#,
        ),
        ("/neighbours", json!({}), "neighbours must be a list"),
        ("/neighbours/0/address", Value::Null, "neighbours[0] has no address"),
        ("/neighbours/0/asn", json!("64512"), "neighbours[0].asn must be a whole number from 1 to 4294967294"),
        ("/neighbours/0/asn", json!(0), "neighbours[0].asn must be a whole number from 1 to 4294967294"),
        ("/neighbours/0/local_asn", Value::Null, "neighbours[0] has no local_asn"),
        (
            "/neighbours/0/gateway",
            json!("10.7.0.2"),
            "neighbours[0] has a gateway, but is on the link itself: leave the gateway out",
        ),
        (
            "/neighbours/1/source",
            Value::Null,
            "neighbours[1] has no source, and 10.9.0.1 is on none of the machine's links: say which address the session comes from",
        ),
        (
            "/neighbours/1/source",
            json!("10.7.0.6"),
            "neighbours[1] has the source 10.7.0.6, which is none of the machine's addresses",
        ),
        (
            "/neighbours/1/multihop",
            Value::Null,
            "neighbours[1] has no multihop, but 10.9.0.1 is not on the link of 10.7.0.5/24: say how many hops it may be away",
        ),
        (
            "/neighbours/1/multihop",
            json!(1),
            "neighbours[1] has multihop 1, but 10.9.0.1 is not on the link of 10.7.0.5/24: say how many hops it may be away",
        ),
        ("/neighbours/1/multihop", json!(256), "neighbours[1].multihop must be a whole number from 1 to 255"),
        ("/neighbours/1/multihop", json!(2.5), "neighbours[1].multihop must be a whole number from 1 to 255"),
        (
            "/neighbours/1/gateway",
            json!("10.8.0.1"),
            "neighbours[1] has the gateway 10.8.0.1, which is on none of the machine's links: leave it out for the default route",
        ),
        (
            "/neighbours/1/address",
            json!("10.7.0.1"),
            "neighbours[1] has a gateway, but is on the link itself: leave the gateway out",
        ),
    ] {
        assert_eq!(refused(&changed("file-rack.json", &[(at, value)])), expected, "{at}");
    }
}

#[test]
fn each_contradiction_has_its_sentence() {
    let unreachable = [("/neighbours/1/gateway", Value::Null), ("/addresses/private4/gateway", Value::Null)];
    assert_eq!(
        refused(&changed("file-rack.json", &unreachable)),
        "neighbours[1] is not on the link, and neither it nor the address 10.7.0.5 has a gateway"
    );
    let twice = changed("file-rack.json", &[]).replacen('{', r#"{"hostname":"b","#, 1);
    assert_eq!(refused(&twice), r#"the document has the key "hostname" twice"#);
    let mixed = [("/neighbours/1/source", json!("10.7.1.5"))];
    assert!(
        refused(&changed("file-v4-v6.json", &mixed))
            .starts_with("neighbours[1] has the source 10.7.1.5, which cannot speak to 2001:db8:ffff::1")
    );
    let same = document("file-rack.json")["neighbours"][1].clone();
    let mut other = same.clone();
    other["asn"] = json!(1);
    let contradictory = refused(&changed("file-rack.json", &[("/neighbours", json!([same, other]))]));
    assert_eq!(contradictory, "neighbours[1] contradicts an earlier session with 10.9.0.1");
}

#[test]
fn a_password_nobody_can_use_is_refused_and_never_shown() {
    for (password, expected) in [
        (json!(""), "neighbours[0] has a password that is empty"),
        (json!(format!("{PASSWORD}\"")), "neighbours[0] has a password with a double quote, which BIRD cannot express"),
        (
            json!(format!("{PASSWORD}\n")),
            "neighbours[0] has a password with a control character, which BIRD cannot express",
        ),
        (
            json!(PASSWORD.repeat(5)),
            "neighbours[0] has a password of more than 80 bytes, which TCP MD5 signatures cannot use",
        ),
        (json!([PASSWORD]), "neighbours[0] has a password that is not a text"),
    ] {
        assert_eq!(refused(&changed("file-rack.json", &[("/neighbours/0/password", password)])), expected);
    }
    assert!(!format!("{:?}", machine("file-rack.json", &[])).contains(PASSWORD), "Debug shows the password");
}

#[test]
fn the_readmes_document_is_one() {
    let readme = std::fs::read_to_string(documents().join("../../README.md")).unwrap();
    let document = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let machine = read(document).unwrap_or_else(|failure| panic!("{}", failure.chain()));
    assert_eq!(sessions(&machine), ["10.7.0.5 as 64513 to 10.7.0.1 as 64512, 1 hops, OnLink"]);
}

fn any_document() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["file-rack.json", "file-v4-v6.json"]).prop_map(document)
}

proptest! {
    #[test]
    fn no_mutation_makes_the_reader_panic_or_tell_the_password(document in any_document(), changes in any_changes()) {
        mutations::survives(read, &changes.made_to(&document), PASSWORD)?;
    }

    #[test]
    fn no_json_and_no_bytes_make_the_reader_panic(value in any_json(), text in any::<String>()) {
        mutations::survives(read, &value.to_string(), PASSWORD)?;
        mutations::survives(read, &text, PASSWORD)?;
    }
}

/// The only neighbour of a machine with a public IPv6 address, or what is said of it.
fn neighbour(neighbour: &Value) -> Result<String, String> {
    let mut neighbour = neighbour.clone();
    neighbour["asn"] = 64_512.into();
    neighbour["local_asn"] = 64_513.into();
    let addresses = json!({"private4": {"address": "10.7.0.5/24"}, "public6": {"address": "2001:db8:5::5/64", "gateway": "fe80::1"}});
    let document = json!({"kind": "anymetal.machine", "version": 1, "hostname": "e", "addresses": addresses, "neighbours": [neighbour]});
    let read = read(&document.to_string());
    let one = |n: &super::super::Neighbour| {
        format!("{:?} to {} on {:?}, {}, {:?}", n.source, n.address, n.interface, n.multihop, n.way)
    };
    read.map(|machine| one(&machine.neighbours[0]))
        .map_err(|failure| failure.chain().split_off("reading the metadata: ".len()))
}

#[test]
fn a_link_local_neighbour_is_on_an_interface_and_nowhere_else() {
    let on = |source: &str| Ok(format!("{source} to fe80::1 on Some(\"eth0\"), 1, OnLink"));
    for said in [
        json!({"address": "fe80::1", "interface": "eth0"}),
        json!({"address": "fe80::1%eth0"}),
        json!({"address": "FE80:0::1%eth0", "interface": "eth0", "multihop": 1}),
    ] {
        assert_eq!(neighbour(&said), on("None"), "{said}");
    }
    assert_eq!(neighbour(&json!({"address": "fe80::1", "source": "fe80::5%eth0"})), on("Some(fe80::5)"));
    let global = json!({"address": "fe80::1%eth0", "source": "2001:db8:5::5"});
    assert_eq!(neighbour(&global), on("Some(2001:db8:5::5)"));
    let named = json!({"address": "2001:db8:5::1", "interface": "eth0"});
    assert_eq!(neighbour(&named).unwrap(), "Some(2001:db8:5::5) to 2001:db8:5::1 on Some(\"eth0\"), 1, OnLink");
    for (said, expected) in [
        (
            json!({"address": "fe80::1"}),
            "has the link-local address fe80::1 and no interface: say which one it is on, `\"interface\": \"eth0\"`, or write fe80::1%eth0",
        ),
        (
            json!({"address": "fe80::1%eth0", "interface": "eth1"}),
            "is on the interface eth1 and on eth0: say one of them",
        ),
        (
            json!({"address": "fe80::1%eth0", "source": "fe80::5%eth1"}),
            "is on the interface eth0 and on eth1: say one of them",
        ),
        (
            json!({"address": "fe80::1%eth0", "multihop": 2}),
            "has multihop, but fe80::1 is link-local, so on the link: leave multihop out",
        ),
        (
            json!({"address": "fe80::1%eth0", "gateway": "fe80::2"}),
            "has a gateway, but fe80::1 is link-local, so on the link: leave the gateway out",
        ),
        (json!({"address": "fe80::1%eth0", "source": "fe80::1"}), "has its own address for a source"),
        (
            json!({"address": "fe80::1%eth0", "source": "10.7.0.5"}),
            "has the source 10.7.0.5, which cannot speak to fe80::1",
        ),
        (
            json!({"address": "fe80::1%eth0", "source": "2001:db8:5::6"}),
            "has the source 2001:db8:5::6, which is none of the machine's addresses",
        ),
        (
            json!({"address": "2001:db8:5::1", "source": "fe80::5%eth0"}),
            "has the link-local source fe80::5, and 2001:db8:5::1 is not link-local",
        ),
        (
            json!({"address": "2001:db8:9::1", "source": "2001:db8:5::5", "multihop": 2, "interface": "eth0"}),
            "has an interface and multihop: only a session that stays on the link is bound to one, so leave one of them out",
        ),
    ] {
        assert_eq!(neighbour(&said), Err(format!("neighbours[0] {expected}")), "{said}");
    }
    for name in ["", "eth0*", "eth 0", "1", "..", "a/b", "abcdefghijklmnop", "eth0\"", "eth0:1"] {
        let said = neighbour(&json!({"address": "fe80::1", "interface": name})).unwrap_err();
        assert!(
            said.contains("neighbours[0] has the interface ") && said.contains("which is no name of one"),
            "{said}"
        );
    }
    let said = neighbour(&json!({"address": "2001:db8:5::1%eth0"})).unwrap_err();
    assert_eq!(said, "neighbours[0].address is \"2001:db8:5::1%eth0\", and only a link-local address has an interface");
}
