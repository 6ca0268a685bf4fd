//! What a stranger may say of this machine, by table; and that whatever is let in is taken by the programs it is for.
//! May not reach anything.
#![expect(clippy::disallowed_methods, reason = "documents are files, and BIRD and nft are programs")]

use std::process::Command;

use anymetal_contract::plan::{Arch, File};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::*;
use crate::facts;
use crate::goldens::{self, documents, template};
use crate::metadata::read;
use crate::render::render;

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
    assert_eq!(read("equinix-metal", &with("/hostname", &json!("edge-1."))).unwrap().hostname, "edge-1");
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
        let machine = read("equinix-metal", &with("/private_subnets", &json!(subnets))).unwrap();
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

/// What a program says against a file; nothing when it takes it.
fn judged(program: &[&str], file: &std::path::Path) -> Option<String> {
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program[0]).args(&program[1..]).arg(file).env("PATH", path).output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What nft says against a file that it does not take.
fn refused_by_nft(folder: &std::path::Path, name: &str) -> Option<String> {
    let output = goldens::nft(folder, name);
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Texts that a stranger would send: the odd ones far more often than chance would have them.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        9 => "[a-zA-Z0-9]{1,20}(\\.[a-z0-9]{1,8}){0,2}",
        1 => "[ -~]{0,12}",
        1 => any::<String>(),
        1 => prop::sample::select(vec![
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
        ])
        .prop_map(str::to_owned),
    ]
}

#[test]
fn whatever_is_let_in_is_taken_by_the_programs_it_is_for() {
    let folder = tempfile::tempdir().unwrap();
    let names = goldens::TEMPLATES;
    let files: Vec<File> = names.iter().map(|name| template(name)).collect();
    let mut runner = TestRunner::new(Config { cases: 96, ..Config::default() });
    let (mut taken, at) = (std::cell::Cell::new(0), ["/hostname", "/id", "/metro", "/facility"]);
    let subnets = prop_oneof![Just(json!([])), Just(json!(["10.0.0.0/8"])), Just(json!(["0.0.0.0/0"]))];
    runner
        .run(&(prop::array::uniform4(texts()), subnets), |(texts, subnets)| {
            let mut document = document("v4-v6.json");
            document["private_subnets"] = subnets;
            for (at, text) in at.iter().zip(texts) {
                *document.pointer_mut(at).unwrap() = text.into();
            }
            let mut plan = goldens::plan(files.clone());
            plan.anycast.v4 = vec!["198.51.100.7/32".into()];
            let Ok(machine) = read("equinix-metal", &document.to_string()) else { return Ok(()) };
            let Ok(facts) = facts::make(&plan, &machine, &goldens::secrets(), Arch::X86_64) else { return Ok(()) };
            taken.set(taken.get() + 1);
            for file in &plan.files {
                let text = render(file, &facts, &goldens::secrets()).unwrap();
                let path = folder.path().join("file");
                std::fs::write(&path, &text).unwrap();
                let wrong = match file.name.rsplit('.').next() {
                    Some("json") => serde_json::from_str::<Value>(&text).err().map(|error| error.to_string()),
                    Some("conf") => judged(&["bird", "-p", "-c"], &path),
                    _ => refused_by_nft(folder.path(), "file"),
                };
                prop_assert!(wrong.is_none(), "{}: {}\n{text}", file.name, wrong.unwrap_or_default());
            }
            Ok(())
        })
        .unwrap();
    assert!(*taken.get_mut() >= 3, "only {} documents were let in", taken.get());
}
