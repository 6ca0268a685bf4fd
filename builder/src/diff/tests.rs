//! Changes of a plan, and the words for each.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::packages::{self, Package, Packages};
use anymetal_contract::plan::{Arch, Bgp, Delivery, Listed, Metadata, Plan, Proxy, Report, Source, Supply, Tls};
use anymetal_contract::{Digest, Phase};
use serde_json::Value;

use super::*;
use crate::component;
use crate::plan;
use crate::sample;
use crate::site::model::{Choice, Pin};

/// The plan of the whole platform.
fn whole() -> Plan {
    let mut site = sample::site();
    for known in component::all() {
        let pin = Pin { sha256: "ab".repeat(32).parse().unwrap(), size: Some(7), urls: vec!["http://a/x".into()] };
        let artefacts = if known.is_host_package() { BTreeMap::new() } else { BTreeMap::from([(Arch::X86_64, pin)]) };
        let choice = Choice { version: known.default, artefacts, ..Choice::default() };
        site.components.insert(known.name.clone(), choice);
    }
    plan::draft(&site).unwrap()
}

fn carried(plan: Plan) -> Carried {
    let none = BTreeMap::from([(Arch::X86_64, Digest::of([1; 32]))]);
    Carried { inits: Some(none), ..Carried::bare(plan::canonical(&plan), plan) }
}

/// What changes when the plan of the whole platform is changed so.
fn words(change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut plan = whole();
    change(&mut plan);
    changes(&carried(whole()), &carried(plan))
}

#[test]
fn nothing_changes_nothing() {
    assert!(words(|_| {}).is_empty());
}

#[test]
fn a_new_version_restarts_its_unit_and_gives_its_job_a_new_version() {
    let version = |name: &'static str| {
        move |plan: &mut Plan| {
            let found = plan.components.iter_mut().find(|component| component.name == name).unwrap();
            found.version = "99.0.0".into();
            if let Source::Artefacts(artefacts) = &mut found.source {
                artefacts.get_mut(&Arch::X86_64).unwrap().sha256 = Digest::of([9; 32]);
            }
        }
    };
    let default = |name: &str| component::named(name).unwrap().default;
    let arrow = |name: &str| format!("{name} {} → 99.0.0", default(name));
    assert_eq!(words(version("consul")), [arrow("consul"), "unit consul.service restarted: consul".into()]);
    assert_eq!(words(version("traefik")), [arrow("traefik"), "job traefik gets a new version: traefik".into()]);
    // the operating system brings it
    assert_eq!(
        words(version("bird")),
        [
            arrow("bird"),
            "unit bird.service restarted: bird".into(),
            "unit anymetal-guard.service restarted: bird".into()
        ]
    );
}

#[test]
fn an_archive_that_is_replaced_under_the_same_version_is_named() {
    let replaced = words(|plan| {
        let consul = plan.components.iter_mut().find(|component| component.name == "consul").unwrap();
        let Source::Artefacts(artefacts) = &mut consul.source else { panic!() };
        artefacts.get_mut(&Arch::X86_64).unwrap().sha256 = Digest::of([9; 32]);
    });
    let (old, new) = ("ab".repeat(6), "09".repeat(6));
    let first = format!("consul: archive for x86_64 replaced under the same version, sha256 {old}… → {new}…");
    assert_eq!(replaced, [first.as_str(), "unit consul.service restarted: consul"]);
}

#[test]
fn what_comes_and_what_goes_is_named_with_what_follows() {
    let gone = words(|plan| {
        plan.components.retain(|component| component.name != "consul");
        plan.files.retain(|file| !file.name.starts_with("consul/"));
        plan.services.retain(|service| service.component != "consul");
    });
    for line in ["file /etc/consul.d/anymetal.json no longer written", "unit consul.service no longer run"] {
        let has = gone
            .iter()
            .any(|found| found == line || (line.starts_with("file") && found.ends_with("no longer written")));
        assert!(has, "{line} in {gone:#?}");
    }
    assert!(gone[0].starts_with("consul ") && gone[0].ends_with(" removed"), "{gone:#?}");
}

#[test]
fn each_of_these_changes_has_these_words() {
    type Change = (fn(&mut Plan), &'static [&'static str]);
    let table: [Change; 14] = [
        (
            |plan| plan.anycast.v6.clear(),
            &[
                "prefix 2001:db8::1/128 withdrawn",
                "file /etc/anymetal/nomad/nomad.json changes: the fact `anycast6`",
                "file /etc/bird/bird.conf changes: the fact `anycast6`",
                "unit nomad.service restarted: /etc/anymetal/nomad/nomad.json",
                "unit bird.service reloaded: /etc/bird/bird.conf",
                "unit anymetal-guard.service restarted: what it keeps watch by",
            ],
        ),
        (
            |plan| plan.settings.firewall.udp = vec![51820],
            &[
                "port 51820/udp opened to everybody",
                "file /etc/anymetal/firewall/anymetal.nft changes: the fact `firewall`",
                "unit anymetal-firewall.service reloaded: /etc/anymetal/firewall/anymetal.nft",
            ],
        ),
        (
            |plan| plan.bgp = Bgp { local_asn: Some(65_001), ..Bgp::default() },
            &[
                "bgp: own AS (the platform's) → 65001",
                "file /etc/anymetal/firewall/anymetal.nft changes: the fact `neighbours`",
                "file /etc/bird/bird.conf changes: the fact `neighbours`",
                "unit anymetal-firewall.service reloaded: /etc/anymetal/firewall/anymetal.nft",
                "unit bird.service reloaded: /etc/bird/bird.conf",
            ],
        ),
        (|plan| plan.origins.push("https://u:p@b/am?t=s".into()), &["origin https://b/am added"]),
        (
            |plan| plan.proxy = Some(Proxy { url: "http://p:1".into(), no_proxy: vec!["a".into()] }),
            &[
                "unit anymetal-guard.service restarted: what it keeps watch by",
                "proxy none → http://p:1, but not for a",
            ],
        ),
        (
            |plan| plan.ca = vec!["PEM".into()],
            &["unit anymetal-guard.service restarted: what it keeps watch by", "ca 384fb9a44fab added"],
        ),
        (|plan| plan.supplies = vec![Supply::Origins], &["archives are taken from (as it is by itself) → origins"]),
        (|plan| _ = plan.deadlines.insert(Phase::Jobs, 60), &["deadline of jobs (the default) → 60 s"]),
        (
            |plan| plan.reports = vec![Report::Webhook],
            &[
                "unit anymetal-guard.service restarted: what it keeps watch by",
                "secret webhook wanted",
                "report to a webhook added",
                "report to the platform removed",
            ],
        ),
        (|plan| plan.secrets = Some(Delivery::Medium), &["secrets come by user-data → medium"]),
        (
            |plan| plan.settings.guard.fall = 5,
            &[
                "guard: bad rounds until it withdraws 2 → 5",
                "file /etc/bird/bird.conf changes: the fact `guard`",
                "unit bird.service reloaded: /etc/bird/bird.conf",
                "unit anymetal-guard.service restarted: what it keeps watch by",
            ],
        ),
        (
            |plan| plan.files.iter_mut().find(|file| file.path == "/etc/bird/bird.conf").unwrap().body += "more\n",
            &[
                "file /etc/bird/bird.conf changes: its template (lines: 1 added, 0 removed)",
                "unit bird.service reloaded: /etc/bird/bird.conf",
            ],
        ),
        (
            |plan| plan.files.iter_mut().find(|file| file.path == "/etc/bird/bird.conf").unwrap().mode = "0600".into(),
            &["file /etc/bird/bird.conf changes: mode 0640 → 0600", "unit bird.service reloaded: /etc/bird/bird.conf"],
        ),
        (
            |plan| plan.components.swap(0, 1),
            &["something that has no word of its own: an address, or the order of things"],
        ),
    ];
    for (change, expected) in table {
        assert_eq!(words(change), expected);
    }
    let tls =
        words(|plan| plan.settings.tls = Tls::Acme { email: "a@b.example".into(), dns_provider: "route53".into() });
    assert_eq!(tls[0], "certificates none → from ACME (a@b.example, by DNS at route53)");
    assert!(tls.contains(&"secret acme wanted".to_owned()), "{tls:#?}");
}

#[test]
fn packages_are_named_when_the_lists_are_there() {
    let with = |version: &str, listed: bool| {
        let package = |name: &str, version: &str| Package {
            name: name.into(),
            version: version.into(),
            sha256: plan::digest(version.as_bytes()),
            size: 7,
            urls: vec![],
        };
        let list = Packages {
            kind: packages::KIND.into(),
            version: packages::VERSION,
            os: "debian-12".into(),
            arch: Arch::X86_64,
            packages: vec![package("bird2", version), package("libssh-gcrypt-4", "1")],
        };
        let text = plan::canonical(&list);
        let mut plan = whole();
        plan.packages =
            BTreeMap::from([(Arch::X86_64, Listed { sha256: plan::digest(&text), size: text.len() as u64 })]);
        Carried { lists: listed.then(|| BTreeMap::from([(Arch::X86_64, list)])), ..carried(plan) }
    };
    let (old, new) = (with("2.0.12-7", true), with("2.0.13-1", true));
    assert_eq!(changes(&old, &new), ["package bird2 2.0.12-7 → 2.0.13-1 (x86_64)"]);
    let untold = ["packages for x86_64 changed; a bundle or a folder of each side says which"];
    assert_eq!(changes(&old, &with("2.0.13-1", false)), untold);
    assert_eq!(changes(&carried(whole()), &new), ["packages for x86_64 pinned"]);
}

/// Every place in a document where a text, a number or a word stands.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(n, item)| leaves(item, &format!("{at}/{n}"), found)),
        Value::Object(members) => {
            for (key, member) in members {
                leaves(member, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Null => {}
        _ => found.push(at.to_owned()),
    }
}

#[test]
fn no_change_of_a_plan_is_without_words() {
    let mut plan = whole();
    plan.bgp = Bgp { multihop: Some(2), communities: vec!["65000:1".into()], ..Bgp::default() };
    plan.settings.firewall.ssh4 = vec!["192.0.2.0/24".into()];
    plan.metadata = Metadata {
        plain_http: true,
        private_subnets: vec!["10.7.0.0/16".into()],
        report_hosts: vec!["events.example".into()],
    };
    let old = carried(plan);
    let value = serde_json::to_value(&old.plan).unwrap();
    let (mut places, mut silent, mut tried) = (Vec::new(), BTreeSet::new(), 0);
    leaves(&value, "", &mut places);
    // a plan of another kind or form is not read at all
    places.retain(|place| place != "/kind" && place != "/version");
    for place in places {
        let mut other = value.clone();
        let leaf = other.pointer_mut(&place).unwrap();
        *leaf = match leaf {
            Value::String(text) => format!("{text}x").into(),
            Value::Number(number) => (number.as_u64().unwrap() + 1).into(),
            Value::Bool(yes) => (!*yes).into(),
            _ => unreachable!("leaves are plain"),
        };
        // a word that has to be one of a few, or a digest
        let Ok(new) = serde_json::from_value::<Plan>(other) else { continue };
        tried += 1;
        let words = changes(&old, &carried(new));
        if words.is_empty() || words[0].starts_with("something") {
            silent.insert(place);
        }
    }
    assert!(tried > 250, "only {tried} changes");
    assert!(silent.is_empty(), "without words: {silent:#?}");
}
