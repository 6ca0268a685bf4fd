//! A site to its plan, and the plan to its bytes: canonical JSON, whose sha256 is the plan digest.
//! May not read, write or fetch anything: versions and digests are in the site or in the components' descriptions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use anymetal_contract::plan::{self, Anycast, Arch, Artefact, Plan};
use anymetal_contract::{Abilities, Digest, Phase};
use sha2::{Digest as _, Sha256};

use crate::component::{self, Artefacts, Component, Source};
use crate::site::Site;
use crate::site::model::Choice;

/// The phases this release has work for. `wake`, `plan` and `settle` are always there and not named.
const PHASES: [Phase; 6] =
    [Phase::Metadata, Phase::Acquire, Phase::Install, Phase::Facts, Phase::Files, Phase::Services];

/// The largest integer RFC 8785 writes exactly: JSON numbers are IEEE 754 doubles (section 3.2.2.3).
const LARGEST_INTEGER: u64 = (1 << 53) - 1;

/// The plan of a site, for an init with these abilities. The error is the author's to mend.
pub fn make(site: &Site, abilities: &Abilities) -> Result<Plan> {
    let plan = draft(site)?;
    fit(&plan, abilities)?;
    Ok(plan)
}

/// The components the site names that this release cannot bring onto a node; they are not in its plan.
pub fn left_out(site: &Site) -> Vec<&str> {
    site.components
        .iter()
        .filter(|(name, choice)| choice.named && component::named(name).is_none())
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The bytes of a plan: sorted keys, no white space, integers only, no line feed at the end (RFC 8785).
pub fn canonical(plan: &Plan) -> Vec<u8> {
    let value = serde_json::to_value(plan).expect("a plan has text keys only");
    let mut text = String::new();
    write(&value, &mut text);
    text.into_bytes()
}

/// The plan digest, of a plan's canonical bytes.
pub fn digest(canonical: &[u8]) -> Digest {
    Digest::of(Sha256::digest(canonical).into())
}

/// What the site asks for, whoever is to carry it out. All that is missing is named at once.
pub fn draft(site: &Site) -> Result<Plan> {
    let mut missing = Vec::new();
    let chosen = || component::all().iter().filter_map(|known| Some((known, site.components.get(&known.name)?)));
    let components = chosen().map(|(known, choice)| component_of(site, known, choice, &mut missing)).collect();
    ensure!(missing.is_empty(), "{}", missing.join("\n"));
    Ok(Plan {
        site: site.name.clone(),
        platform: site.platform.clone(),
        os: site.os.clone(),
        domain: site.domain.clone(),
        anycast: Anycast { v4: texts(&site.anycast4), v6: texts(&site.anycast6) },
        bgp: site.bgp.clone(),
        phases: BTreeSet::from(PHASES),
        origins: site.origins.clone(),
        components,
        files: chosen().flat_map(|(known, _)| known.files.clone()).collect(),
        services: chosen().flat_map(|(known, _)| known.services.iter().map(|unit| service_of(known, unit))).collect(),
        deadlines: site.deadlines.clone(),
        reports: site.reports.clone(),
        ..Plan::default()
    })
}

/// Whether an init with these abilities can carry the plan out; names everything it cannot.
pub fn fit(plan: &Plan, abilities: &Abilities) -> Result<()> {
    let mut beyond = Vec::new();
    let mut need = |what: &str, thing: &str, has: &[String]| {
        if !has.iter().any(|able| able == thing) {
            beyond.push(format!("{what} {thing}"));
        }
    };
    if !abilities.plans.contains(&plan.version) {
        need("plan version", &plan.version.to_string(), &[]);
    }
    need("platform", &plan.platform, &abilities.platforms);
    for phase in &plan.phases {
        need("phase", phase.id(), &abilities.phases);
    }
    for component in &plan.components {
        let plan::Source::Artefacts(artefacts) = &component.source else { continue };
        for artefact in artefacts.values() {
            need("archive format", word(artefact.format), &abilities.formats);
        }
    }
    for service in &plan.services {
        need("readiness", service.ready.id(), &abilities.ready);
    }
    if beyond.is_empty() {
        return Ok(());
    }
    beyond.dedup();
    bail!(
        "anymetal-init {} cannot carry out this plan: it does not know {}\nhint: use the init that belongs to this anymetal, {}",
        abilities.release,
        beyond.join(", "),
        env!("CARGO_PKG_VERSION")
    )
}

fn texts<T: ToString>(things: &[T]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}

/// The word in [`Abilities::formats`]: what the plan writes.
const fn word(format: plan::Format) -> &'static str {
    match format {
        plan::Format::Zip => "zip",
        plan::Format::TarGz => "tar.gz",
    }
}

fn component_of(site: &Site, known: &Component, choice: &Choice, missing: &mut Vec<String>) -> plan::Component {
    let version = &choice.version;
    let source = match &known.source {
        Source::HostPackage(package) => plan::Source::HostPackage(package.clone()),
        Source::Artefacts(upstream) => {
            let mut artefacts = BTreeMap::new();
            for arch in &site.architectures {
                match artefact_of(known, upstream, version, choice, *arch) {
                    Ok(artefact) => _ = artefacts.insert(*arch, artefact),
                    Err(why) => missing.push(format!("component {} {version}: {why:#}", known.name)),
                }
            }
            plan::Source::Artefacts(artefacts)
        }
    };
    plan::Component::new(&known.name, version, source)
}

fn artefact_of(
    component: &Component,
    upstream: &Artefacts,
    version: &str,
    choice: &Choice,
    arch: Arch,
) -> Result<Artefact> {
    let pin = choice.artefacts.get(&arch);
    let Some(sha256) = pin.map(|pin| &pin.sha256).or_else(|| upstream.digest(version, arch)) else {
        let known: Vec<_> = upstream.digests.keys().map(String::as_str).collect();
        bail!(
            "no sha256 is known for {arch}\nhint: pin it in the site, `components.{}.artefacts.{arch}.sha256`; known versions are {}",
            component.name,
            known.join(", ")
        );
    };
    let size = pin.and_then(|pin| pin.size);
    ensure!(size.is_none_or(|size| size <= LARGEST_INTEGER), "its size for {arch} is over 2^53");
    let given = pin.map(|pin| pin.urls.clone()).unwrap_or_default();
    let urls = if given.is_empty() { upstream.url(version, arch).into_iter().collect() } else { given };
    Ok(Artefact { sha256: sha256.clone(), size, format: upstream.format, members: upstream.members.clone(), urls })
}

fn service_of(known: &Component, service: &component::Service) -> plan::Service {
    plan::Service {
        unit: service.unit.clone(),
        component: known.name.clone(),
        files: service.files.iter().map(|file| format!("{}/{file}", known.name)).collect(),
        reload: service.reload,
        ready: service.ready.clone(),
        access: None,
    }
}

/// RFC 8785 section 3.2, for the values a plan has. `serde_json` writes strings and integers as it asks; the order of keys is made here,
/// because a feature of `serde_json` that any other crate may switch on keeps them as they came.
fn write(value: &serde_json::Value, text: &mut String) {
    use serde_json::Value;
    match value {
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                write(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut keys: Vec<_> = members.keys().collect();
            keys.sort_by_key(|key| key.encode_utf16().collect::<Vec<_>>());
            text.push('{');
            for (place, key) in keys.into_iter().enumerate() {
                text.push_str(if place == 0 { "" } else { "," });
                write(&Value::String(key.clone()), text);
                text.push(':');
                write(&members[key], text);
            }
            text.push('}');
        }
        Value::Number(number) => {
            assert!(
                number.as_u64().is_some_and(|n| n <= LARGEST_INTEGER),
                "a plan has small whole numbers only, not {number}"
            );
            text.push_str(&number.to_string());
        }
        Value::Null | Value::Bool(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use anymetal_contract::plan::{Bgp, Report};

    use super::*;
    use crate::sample::{abilities, site as sample};
    use crate::site::model::Pin;

    #[test]
    fn a_plan_has_the_sites_words_and_the_components_files_and_units() {
        let plan = make(&sample(), &abilities()).unwrap();
        assert_eq!(plan.anycast, Anycast { v4: vec!["192.0.2.1/32".into()], v6: vec!["2001:db8::1/128".into()] });
        assert_eq!(plan.components.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["consul", "bird"]);
        let files: Vec<_> = plan.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(files, ["consul/consul.json", "consul/consul.service", "bird/bird.conf"]);
        assert_eq!(plan.services[0].files, ["consul/consul.json", "consul/consul.service"]);
        assert_eq!(plan.services[1].component, "bird");
    }

    #[test]
    fn what_is_not_of_this_release_is_left_out_and_named() {
        let mut site = sample();
        site.components.insert("traefik".into(), Choice { version: "2.11.0".into(), named: true, ..Choice::default() });
        assert_eq!(left_out(&site), ["traefik"]);
        assert!(draft(&site).unwrap().components.iter().all(|component| component.name != "traefik"));
    }

    #[test]
    fn a_known_digest_comes_with_upstreams_url_and_a_pin_goes_before_it() {
        let mut site = sample();
        let artefact = |site: &Site| match draft(site).unwrap().components.remove(0).source {
            plan::Source::Artefacts(mut artefacts) => artefacts.remove(&Arch::X86_64).unwrap(),
            plan::Source::HostPackage(_) => panic!("consul comes in archives"),
        };
        assert_eq!(
            artefact(&site).urls,
            ["https://releases.hashicorp.com/consul/1.16.1/consul_1.16.1_linux_amd64.zip"]
        );

        let sha256: Digest = "ab".repeat(32).parse().unwrap();
        let pin = Pin { sha256: sha256.clone(), size: Some(7), urls: vec!["https://mine.example/c.zip".into()] };
        let artefacts = BTreeMap::from([(Arch::X86_64, pin)]);
        site.components.insert("consul".into(), Choice { version: "1.8.7".into(), artefacts, named: true });
        let pinned = artefact(&site);
        assert_eq!((pinned.sha256, pinned.size), (sha256, Some(7)));
        assert_eq!(pinned.urls, ["https://mine.example/c.zip"]);
    }

    #[test]
    fn every_digest_that_is_not_known_is_named_with_the_key_that_pins_it() {
        let mut site = sample();
        site.architectures = Arch::ALL.into();
        site.components.insert("consul".into(), Choice { version: "1.8.7".into(), ..Choice::default() });
        let error = format!("{:#}", draft(&site).unwrap_err());
        for arch in ["x86_64", "aarch64"] {
            assert!(error.contains(&format!("component consul 1.8.7: no sha256 is known for {arch}\n")), "{error}");
            assert!(error.contains(&format!("`components.consul.artefacts.{arch}.sha256`")), "{error}");
        }
    }

    #[test]
    fn each_ability_init_lacks_is_named() {
        type Without = fn(&mut Abilities);
        let cases: [(Without, &str); 5] = [
            (|able| able.plans = vec![2], "plan version 1"),
            (|able| able.platforms.clear(), "platform equinix-metal"),
            (|able| able.phases.retain(|phase| phase != "services"), "phase services"),
            (|able| able.formats = vec!["tar.gz".into()], "archive format zip"),
            (|able| able.ready = vec!["active".into()], "readiness consul-leader"),
        ];
        for (without, what) in cases {
            let mut abilities = abilities();
            without(&mut abilities);
            let error = make(&sample(), &abilities).unwrap_err().to_string();
            assert!(error.contains(&format!("does not know {what}\nhint: ")), "{error}");
        }
    }

    #[test]
    fn canonical_json_is_sorted_tight_and_escapes_as_rfc_8785_does() {
        let value = serde_json::json!({"b": [1, true, null], "a": {"\u{20ac}": "\u{8}\t\n\u{c}\r\"\\\u{f}/\u{7f}€", "\u{1f600}": 0, "\u{fb33}": 9_007_199_254_740_991_u64}});
        let mut text = String::new();
        write(&value, &mut text);
        // U+1F600 is written with surrogates, from U+D83D: before U+FB33 in UTF-16, behind it by code point.
        assert_eq!(
            text,
            "{\"a\":{\"€\":\"\\b\\t\\n\\f\\r\\\"\\\\\\u000f/\u{7f}€\",\"\u{1f600}\":0,\"\u{fb33}\":9007199254740991},\"b\":[1,true,null]}"
        );
    }

    #[test]
    fn the_plan_digest_is_the_sha256_of_the_canonical_bytes_and_nothing_else_moves_it() {
        let mut site = sample();
        site.components.clear();
        site.bgp = Bgp::default();
        site.reports = vec![Report::Platform];
        let bytes = canonical(&draft(&site).unwrap());
        assert_eq!(
            std::str::from_utf8(&bytes).unwrap(),
            r#"{"anycast":{"v4":["192.0.2.1/32"],"v6":["2001:db8::1/128"]},"bgp":{},"components":[],"deadlines":{},"domain":"192-0-2-1.sslip.io","files":[],"kind":"anymetal.plan","origins":["https://mirror.example/anymetal"],"os":"debian-12","phases":["metadata","acquire","install","facts","files","services"],"platform":"equinix-metal","reports":["platform"],"services":[],"site":"demo","version":1}"#
        );
        // FIPS 180-2, appendix B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(b"abc").as_str(), abc);
        assert_eq!(serde_json::from_slice::<Plan>(&bytes).unwrap(), draft(&site).unwrap());
    }
}
