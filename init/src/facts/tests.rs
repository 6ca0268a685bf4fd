//! Facts: which names, which values, and what is said when some are missing.
//! May not hold documents: those lie in `tests/metadata`.
#![expect(clippy::disallowed_methods, reason = "documents are files")]

use std::collections::BTreeSet;
use std::sync::Mutex;

use anymetal_contract::Reason;
use anymetal_contract::plan::{Bgp, File, Password};
use anymetal_contract::{Digest, Unit};

use super::*;
use crate::world::{Overrides, Planned};
use crate::{goldens, metadata};

fn machine(document: &str) -> Machine {
    let text = std::fs::read_to_string(goldens::documents().join(document)).unwrap();
    metadata::read("equinix-metal", &text).unwrap()
}

/// A template that only needs.
fn needing(name: &str, needs: &[&str]) -> File {
    let needs = needs.iter().map(ToString::to_string).collect();
    File { name: name.into(), needs, body: String::new(), ..goldens::template("bird/bird.conf") }
}

fn site(files: Vec<File>) -> Plan {
    let mut plan = goldens::plan(files);
    plan.anycast.v4 = vec!["198.51.100.7/32".into()];
    plan
}

fn refused(files: Vec<File>, machine: &Machine) -> (Reason, String) {
    let failure = make(&site(files), machine, &Secrets::default(), Arch::X86_64).unwrap_err();
    (failure.reason, failure.chain())
}

#[test]
fn facts_have_exactly_the_names_of_the_contract() {
    let of = |document| -> BTreeSet<String> {
        make(&site(vec![]), &machine(document), &Secrets::default(), Arch::Aarch64)
            .unwrap()
            .values()
            .keys()
            .cloned()
            .collect()
    };
    let names = |wanted: fn(&facts::Name) -> bool| -> BTreeSet<String> {
        facts::NAMES.iter().filter(|name| wanted(name)).map(|name| name.name.to_owned()).collect()
    };
    assert_eq!(of("v4-v6.json"), names(|_| true), "a machine with everything has every name");
    let bare = of("hollow-instance-c.json");
    assert!(bare.is_superset(&names(|name| name.always)), "{bare:?} lacks what every node has");
    assert!(bare.is_subset(&names(|_| true)), "{bare:?} has a name that is not in the contract");
    assert!(
        !bare.contains("neighbours") && !bare.contains("router_id") && !bare.contains("private_subnets"),
        "{bare:?}"
    );
}

#[test]
fn neighbours_have_names_that_are_words_of_bird() {
    let facts = make(&site(vec![]), &machine("v4-v6.json"), &Secrets::default(), Arch::X86_64).unwrap();
    let names: Vec<&str> = facts.neighbours.iter().flatten().map(|neighbour| neighbour.name.as_str()).collect();
    assert_eq!(names, ["edge_v4_1", "edge_v4_2", "edge_v6_1", "edge_v6_2"]);
}

#[test]
fn the_sites_word_goes_over_the_platforms() {
    let mut plan = site(vec![]);
    plan.bgp = Bgp {
        local_asn: Some(64_512),
        peer_asn: Some(64_513),
        multihop: Some(3),
        password: None,
        communities: vec!["1:2".into()],
    };
    let facts = make(&plan, &machine("v4-multihop.json"), &Secrets::default(), Arch::X86_64).unwrap();
    for neighbour in facts.neighbours.iter().flatten() {
        assert_eq!((neighbour.local_asn, neighbour.asn, neighbour.multihop), (64_512, 64_513, 3));
    }
    assert_eq!(facts.communities, ["1:2"]);
}

#[test]
fn an_on_link_neighbour_needs_no_route_however_many_hops_it_is_given() {
    let mut plan = site(vec![goldens::template("bird/bird.conf")]);
    plan.bgp.multihop = Some(3);
    let facts = make(&plan, &machine("v4-on-link.json"), &Secrets::default(), Arch::X86_64).unwrap();
    assert_eq!(facts.neighbour_routes, Some(vec![]));
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let files = vec![
        needing("a/a.conf", &["site", "metro", "private4"]),
        needing("b/b.conf", &["router_id", "neighbours"]),
        needing("c/c.conf", &["node", "arch"]),
    ];
    let mut machine = machine("hollow-instance-c.json");
    machine.metro = None;
    let (reason, said) = refused(files, &machine);
    assert_eq!(reason, Reason::FactsMissing);
    assert_eq!(
        said,
        "making facts: a/a.conf needs metro, private4; b/b.conf needs router_id, neighbours; \
         router_id comes from an IPv4 management address, the private one first; \
         private4 comes from an enabled private IPv4 management address: attach a private network, if the platform gives none by itself; \
         neighbours comes from the machine's BGP sessions: enable BGP at the platform and create them; \
         metro comes from the metro in the metadata"
    );
}

#[test]
fn a_name_nobody_gives_is_the_templates_fault() {
    let files = vec![needing("a/a.conf", &["weather", "site"]), needing("b/b.conf", &["metro", "mood"])];
    let (reason, said) = refused(files, &machine("hollow-instance-c.json"));
    assert_eq!(reason, Reason::TemplateBroken);
    assert_eq!(said, "making facts: a/a.conf needs weather; b/b.conf needs mood, which no fact is named");
}

#[test]
fn a_family_nobody_speaks_is_missing_only_where_neighbours_are_needed() {
    let (reason, said) = refused(vec![needing("b/b.conf", &["neighbours"])], &machine("v6-only.json"));
    assert_eq!(reason, Reason::FactsMissing);
    assert!(said.contains("b/b.conf needs neighbours for IPv4, which the site announces"), "{said}");
    assert!(
        make(&site(vec![needing("a/a.conf", &["site"])]), &machine("v6-only.json"), &Secrets::default(), Arch::X86_64)
            .is_ok()
    );
}

#[test]
fn a_password_is_in_the_context_of_who_needs_it_and_nowhere_else() {
    let facts = make(&site(vec![]), &machine("v4-multihop-md5.json"), &Secrets::default(), Arch::X86_64).unwrap();
    let password = "not a real secret; # {1}";
    let shown = format!("{facts:?} {} {:?}", serde_json::to_string(&facts).unwrap(), facts.values());
    assert!(shown.contains(crate::secret::DOTS) && !shown.contains(password), "{shown}");
    assert!(!format!("{:?}", facts.context(&["node".into(), "site".into()])).contains(password));
    assert!(format!("{:?}", facts.context(&["neighbours".into()])).contains(password));
    assert_eq!(facts.passwords().map(Secret::expose).collect::<BTreeSet<_>>(), BTreeSet::from([password]));
}

#[test]
fn a_password_among_the_secrets_goes_over_the_platforms() {
    let mut plan = site(vec![]);
    plan.bgp.password = Some(Password::Secret);
    let failure = make(&plan, &machine("v4-multihop-md5.json"), &Secrets::default(), Arch::X86_64).unwrap_err();
    assert_eq!(failure.reason, Reason::SecretsMissing);
    assert!(failure.chain().ends_with("is the secret bgp_password, and has not come"), "{}", failure.chain());
    let secrets = goldens::secrets();
    let facts = make(&plan, &machine("v4-multihop-md5.json"), &secrets, Arch::X86_64).unwrap();
    let own = secrets.value("bgp_password").unwrap().expose();
    assert_eq!(facts.passwords().map(Secret::expose).collect::<BTreeSet<_>>(), BTreeSet::from([own]));
    assert!(!format!("{facts:?} {:?}", facts.values()).contains(own));
}

#[test]
fn what_a_neighbour_will_not_accept_is_told_and_stops_nothing() {
    #[derive(Default)]
    struct Told(Mutex<Vec<String>>);
    impl Steps for Told {
        fn step(&self, step: &str, outcome: Outcome, message: &str) {
            self.0.lock().unwrap().push(format!("{step} {}: {message}", outcome.word()));
        }
        fn progress(&self, _: &str, _: u64, _: Option<u64>, _: Unit) {}
    }
    let world = World::new("/nowhere", Arch::X86_64, Overrides::default());
    let mut plan = site(vec![]);
    plan.anycast.v4.push("203.0.113.0/24".into());
    assert!(world.plan.set(Planned { plan, digest: Digest::of([0; 32]) }).is_ok());
    assert!(world.machine.set(machine("v4-multihop.json")).is_ok());
    let told = Told::default();
    assert!(matches!(work(&world, &told).unwrap(), Answer::Done(_)));
    assert!(matches!(work(&world, &told).unwrap(), Answer::Same(_)));
    let said = told.0.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(
            "warning done: by the metadata 169.254.255.1 and 169.254.255.2 will not accept 203.0.113.0/24"
        ),
        "{said:?}"
    );
}

#[test]
fn a_node_has_the_sites_name_and_its_own() {
    let of = |domain: &str, hostname: &str, public: bool| {
        let mut machine = machine("v4-v6.json");
        machine.hostname = hostname.into();
        if !public {
            machine.public4 = None;
        }
        domains(domain, &machine)
    };
    let public = machine("v4-v6.json").public4.unwrap().address.to_string().replace('.', "-");
    for (domain, hostname, public4, own) in [
        ("cloud.example.org", "Edge-1.da.example", true, "edge-1.cloud.example.org"),
        ("cloud.example.org", "__", true, "node.cloud.example.org"),
        ("198-51-100-7.sslip.io", "edge-1", true, &format!("{public}.sslip.io")),
        ("198-51-100-7.sslip.io", "edge-1", false, "edge-1.198-51-100-7.sslip.io"),
    ] {
        assert_eq!(of(domain, hostname, public4), [domain, own], "{domain} {hostname}");
    }
    assert_eq!(of(&format!("{public}.nip.io"), "edge-1", true), [format!("{public}.nip.io")], "one name is not two");
}

#[test]
fn the_metadata_service_has_each_address_once_with_all_its_ports() {
    let mut machine = machine("v4-v6.json");
    machine.service =
        ["169.254.169.254:80", "[2001:db8::1]:443", "169.254.169.254:443"].map(|it| it.parse().unwrap()).into();
    let facts = make(&site(vec![]), &machine, &Secrets::default(), Arch::X86_64).unwrap();
    let shown = serde_json::to_string(&facts.values()["metadata_service"]).unwrap();
    let expected = r#"[{"address":"169.254.169.254","family":4,"ports":[80,443]},{"address":"2001:db8::1","family":6,"ports":[443]}]"#;
    assert_eq!(shown, expected);
}
