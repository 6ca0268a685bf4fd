//! What Equinix Metal's document becomes, by table.
//! May not hold documents: those lie in `tests/metadata`.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use anymetal_contract::Reason;
use serde_json::{Value, json};

use super::super::Way;
use super::*;
use crate::goldens::documents;

pub(super) const PASSWORD: &str = "zq-unmistakable-9";

pub(super) fn document(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(documents().join(name)).unwrap()).unwrap()
}

/// The document with these changes, each a JSON pointer and what stands there now.
fn changed(name: &str, changes: &[(&str, Value)]) -> String {
    let mut document = document(name);
    for (at, value) in changes {
        let (parent, key) = at.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
            parent => parent[key] = value.clone(),
        }
    }
    document.to_string()
}

fn machine(name: &str, changes: &[(&str, Value)]) -> Machine {
    read(&changed(name, changes)).unwrap_or_else(|failure| panic!("{}", failure.chain()))
}

/// The sentence of the failure, without its beginning.
fn problems(name: &str, changes: &[(&str, Value)]) -> String {
    let failure = read(&changed(name, changes)).unwrap_err();
    assert_eq!(failure.reason, Reason::MetadataInvalid);
    failure.chain().strip_prefix("reading the metadata: ").unwrap().to_owned()
}

#[test]
fn an_elastic_address_is_not_the_machines() {
    let machine = machine("v4-multihop.json", &[("/network/addresses/0/enabled", json!(false))]);
    assert_eq!(machine.public4, None, "198.51.100.7 is announced, and 192.0.2.17 is off");
    assert_eq!(machine.private4.unwrap().address.to_string(), "10.66.142.17");
}

#[test]
fn what_is_not_told_is_left_open_or_has_its_default() {
    let machine = read(r#"{"id":"a","network":null}"#).unwrap();
    assert_eq!(
        (machine.hostname.as_str(), machine.metro, machine.private4, machine.user_state_url),
        ("a", None, None, None)
    );
    assert_eq!(machine.private_subnets, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(machine.warnings, [r#"hostname is missing: the machine goes by its id "a""#]);
    assert!(machine.neighbours.is_empty());
}

#[test]
fn hops_and_ways_follow_the_link() {
    let of = |machine: Machine| {
        let neighbour = &machine.neighbours[0];
        (neighbour.multihop, neighbour.way, machine.warnings.len())
    };
    let several = Way::Via("10.66.142.16".parse().unwrap());
    assert_eq!(of(machine("v4-multihop.json", &[])), (5, several, 0));
    assert_eq!(of(machine("v4-on-link.json", &[])), (1, Way::OnLink, 0));
    let said_on_link = ("/bgp_neighbors/0/multihop", json!(false));
    let untold = ("/network/addresses/2/gateway", Value::Null);
    assert_eq!(
        of(machine("v4-multihop.json", std::slice::from_ref(&said_on_link))),
        (1, several, 2),
        "a warning for each peer"
    );
    assert_eq!(of(machine("v4-multihop.json", &[said_on_link, untold])), (1, Way::Untold, 2));
    let said_several = ("/bgp_neighbors/0/multihop", json!(true));
    assert_eq!(of(machine("v4-on-link.json", &[said_several])), (5, Way::OnLink, 0));
    let unsaid = ("/bgp_neighbors/0/multihop", Value::Null);
    assert_eq!(of(machine("v4-multihop.json", std::slice::from_ref(&unsaid))), (5, several, 0));
    assert_eq!(of(machine("v4-on-link.json", &[unsaid])), (1, Way::OnLink, 0));
}

#[test]
fn everything_wrong_is_named_at_once() {
    let said = problems(
        "v4-v6.json",
        &[
            ("/hostname", json!("edge\n1")),
            ("/network/addresses/2/address", json!("10.66.142")),
            ("/network/addresses/1/cidr", json!(129)),
            ("/bgp_neighbors/0/customer_as", Value::Null),
            ("/bgp_neighbors/0/peer_as", json!(0)),
            ("/bgp_neighbors/0/peer_ips/1", json!("fc00::e")),
            ("/bgp_neighbors/1/peer_ips/0", json!("over there")),
            ("/bgp_neighbors/1/md5_enabled", json!(true)),
        ],
    );
    let expected = [
        r#"hostname is "edge\n1", which is no name of a host: give the machine one of letters, digits and hyphens, in labels of at most 63 joined by dots (RFC 1123)"#,
        "network.addresses[1] has cidr 129, more than the 128 bits there are",
        r#"network.addresses[2].address is "10.66.142", which is not an IPv4 address"#,
        "bgp_neighbors[0] is an IPv4 session, which needs the private IPv4 management address, and network.addresses has none",
        "bgp_neighbors[0] has no customer_as",
        "bgp_neighbors[0] has peer_as 0, which nobody may have",
        "bgp_neighbors[0].peer_ips[1] is fc00::e, in a session of IPv4",
        "bgp_neighbors[1] is an IPv6 session, which needs the public IPv6 management address, and network.addresses has none",
        "bgp_neighbors[1] has md5_enabled, but no md5_password",
        r#"bgp_neighbors[1].peer_ips[0] is "over there", which is not an IP address"#,
    ];
    assert_eq!(said.split("; ").collect::<Vec<_>>(), expected);
}

#[test]
fn contradictions_and_gaps_each_have_their_sentence() {
    let multihop = |changes: &[(&str, Value)]| problems("v4-multihop.json", changes);
    for (change, expected) in [
        (
            ("/network/addresses/2/gateway", Value::Null),
            "has 169.254.255.1 several hops away, but 10.66.142.17 has no gateway",
        ),
        (("/network/addresses/2/public", Value::Null), "network.addresses[2] does not say whether it is public"),
        (("/network/addresses/2/cidr", Value::Null), "network.addresses[2] has no cidr"),
        (("/network/addresses/2/address", Value::Null), "network.addresses[2] has no address"),
        (("/network/addresses/2/address_family", json!(5)), "address_family 5, which is neither 4 nor 6"),
        (("/bgp_neighbors/0/address_family", Value::Null), "bgp_neighbors[0] has no address_family"),
        (
            ("/bgp_neighbors/0/address_family", json!(7)),
            "bgp_neighbors[0] has address_family 7, which is neither 4 nor 6",
        ),
        (("/hostname", json!("h".repeat(254))), "hostname is longer than 253 bytes"),
        (
            ("/bgp_neighbors/0/customer_as", json!("65000")),
            "`bgp_neighbors[0].customer_as` is not of its type: invalid type: string",
        ),
        (
            ("/bgp_neighbors/0/customer_as", json!(4_294_967_296_u64)),
            "`bgp_neighbors[0].customer_as` is not of its type: invalid value",
        ),
    ] {
        let said = multihop(std::slice::from_ref(&change));
        assert!(said.contains(expected), "{} gave: {said}", change.0);
    }
    let nameless = multihop(&[("/hostname", Value::Null), ("/id", json!(""))]);
    assert_eq!(nameless, "hostname and id are both missing: this does not describe a machine");
}

#[test]
fn what_is_only_odd_is_a_warning() {
    for (at, value, expected) in [
        (
            "/bgp_neighbors/0/customer_ip",
            json!("10.99.1.9"),
            "bgp_neighbors[0] has customer_ip 10.99.1.9, but the private IPv4 management address is 10.66.142.17, which is used",
        ),
        (
            "/bgp_neighbors/0/customer_ip",
            json!("me"),
            r#"bgp_neighbors[0] has customer_ip "me", which is not an IP address"#,
        ),
        (
            "/bgp_neighbors/0/routes_in",
            json!([{"route": "all of them"}]),
            "bgp_neighbors[0] has routes_in that are not a list of some prefixes: whether the site's are among them is not checked",
        ),
        ("/bgp_neighbors/0/peer_ips", json!([]), "bgp_neighbors[0] has no peer_ips yet: it is left out"),
        ("/bgp_neighbors/0/peer_ips/1", json!("169.254.255.1"), "bgp_neighbors[0] names 169.254.255.1 a second time"),
        (
            "/user_state_url",
            json!("ftp://x/"),
            r#"user_state_url is "ftp://x/", which is not an http or https URL: it is not used"#,
        ),
        (
            "/phone_home_url",
            json!("http://a b/"),
            r#"phone_home_url is "http://a b/", which is not an http or https URL: it is not used"#,
        ),
        (
            "/private_subnets/0",
            json!("ten"),
            r#"private_subnets[0] is "ten", which is not an IPv4 prefix: it is left out"#,
        ),
        (
            "/network/addresses/2/gateway",
            json!("10.1.1.1"),
            "network.addresses[2] has the gateway 10.1.1.1, which is not on the link of 10.66.142.17/31",
        ),
        ("/network/addresses/1/public", json!(false), "network.addresses[1] is a private IPv6 address: it is not used"),
        (
            "/network/addresses/0/public",
            json!(false),
            "network.addresses[2] is a second private IPv4 management address, 10.66.142.17: 192.0.2.17 is used",
        ),
    ] {
        let warnings = match read(&changed("v4-multihop.json", &[(at, value)])) {
            Ok(machine) => machine.warnings,
            Err(failure) => vec![failure.chain()],
        };
        assert!(warnings.iter().any(|warning| warning == expected), "{at} gave {warnings:?}");
    }
}

#[test]
fn two_sessions_that_contradict_each_other_are_refused() {
    let session = document("v4-multihop.json")["bgp_neighbors"][0].clone();
    let mut other = session.clone();
    other["peer_as"] = json!(65_531);
    let said = problems("v4-multihop.json", &[("/bgp_neighbors", json!([session, other]))]);
    assert!(said.starts_with("bgp_neighbors[1] contradicts an earlier session with 169.254.255.1"), "{said}");
}

#[test]
fn a_password_nobody_can_use_is_refused_and_never_shown() {
    let long = "k".repeat(81);
    for (password, expected) in [
        (json!(null), "has md5_enabled, but no md5_password"),
        (json!(""), "has md5_enabled, but no md5_password"),
        (json!(format!("{PASSWORD}\"")), "has an md5_password with a double quote, which BIRD cannot express"),
        (json!(format!("{PASSWORD}\n")), "has an md5_password with a control character, which BIRD cannot express"),
        (json!(format!("{PASSWORD}{long}")), "has an md5_password of more than 80 bytes"),
        (json!([PASSWORD]), "has an md5_password that is not text"),
        (json!({ "a": PASSWORD }), "has an md5_password that is not text"),
    ] {
        let said = problems("v4-multihop-md5.json", &[("/bgp_neighbors/0/md5_password", password)]);
        assert!(said.starts_with(&format!("bgp_neighbors[0] {expected}")), "{said}");
        assert!(!said.contains(PASSWORD), "{said}");
    }
    let unsaid = [("/bgp_neighbors/0/md5_password", json!(PASSWORD)), ("/bgp_neighbors/0/md5_enabled", Value::Null)];
    assert!(problems("v4-multihop.json", &unsaid).contains("does not say whether md5_enabled"));
}

#[test]
fn a_password_that_can_be_used_is_kept_and_dotted() {
    for good in [PASSWORD, "k", "ä#;{}'\\ %", &"k".repeat(80)] {
        let machine = machine("v4-multihop-md5.json", &[("/bgp_neighbors/0/md5_password", json!(good))]);
        assert_eq!(machine.neighbours[0].password.as_ref().unwrap().expose(), good);
        assert!(good.len() < 3 || !format!("{machine:?}").contains(good), "Debug shows the password");
    }
    let off = [("/bgp_neighbors/0/md5_enabled", json!(false)), ("/bgp_neighbors/0/md5_password", json!(PASSWORD))];
    assert_eq!(machine("v4-multihop.json", &off).neighbours[0].password, None);
}

#[test]
fn an_error_answer_is_not_a_machine() {
    for (body, words) in [
        (r#"{"errors":["internal server error"]}"#, "internal server error"),
        (r#"{"error":"no\u001b[31m such machine","id":"a"}"#, "no[31m such machine"),
        (r#"{"error":{"code":7}}"#, r#"{"code":7}"#),
    ] {
        let failure = read(body).unwrap_err();
        assert_eq!(failure.reason, Reason::MetadataUnreachable, "{body}");
        assert_eq!(failure.chain(), format!("reading the metadata: it is an error answer: {words}"));
    }
    assert!(read(r#"{"id":"a","error":null,"errors":[]}"#).is_ok(), "no error is no error");
}

#[test]
fn an_answer_without_success_is_told_in_its_own_words() {
    for (status, body, expected) in [
        (
            404,
            r#"{"message":"resource not found"}"#,
            "404, resource not found: the service does not know this machine yet",
        ),
        (404, r#"{"message":"invalid request - route not found"}"#, "404, invalid request - route not found"),
        (500, r#"{"errors":["internal server error"]}"#, "500, internal server error"),
        (502, "<html>Bad Gateway</html>", "502"),
    ] {
        assert_eq!(excuse(status, body), expected);
    }
}

#[test]
fn a_text_that_is_no_document_says_how() {
    for (text, expected) in [
        ("", "it is empty"),
        (r#"{"id":"a","netw"#, "it is cut off after 15 bytes: EOF while parsing a string at line 1 column 15"),
        ("<html>", "it is not JSON: expected value at line 1 column 1"),
        ("[]", "it has another form: invalid length 0"),
        (
            r#"{"id":"a","facility":{"code":"da11"}}"#,
            "`facility` is not of its type: invalid type: map, expected a string",
        ),
        (r#"{"id":"a","id":"b"}"#, "it has another form: duplicate field `id` at line 1 column 14"),
    ] {
        let said = read(text).map(|_| ()).unwrap_err().chain();
        assert!(said.starts_with(&format!("reading the metadata: {expected}")), "{text:?} gave: {said}");
    }
}

#[test]
fn a_document_without_measure_is_refused_in_a_few_words() {
    let peers: Vec<String> = (0..50_000u32).map(|i| std::net::Ipv4Addr::from(0x0b00_0000 + i).to_string()).collect();
    let said = problems("v4-multihop.json", &[("/bgp_neighbors/0/peer_ips", json!(peers))]);
    assert_eq!(said, "bgp_neighbors[0] is one too many: a machine has at most 64 neighbours");
    let odd = problems("v4-multihop.json", &[("/bgp_neighbors/0/peer_ips", json!(vec!["x"; 50_000]))]);
    assert!(odd.ends_with("; and 49960 more like these") && odd.len() < 4_000, "{odd}");
}
