//! What a node will run, with versions, digests and licences: a bill of materials in CycloneDX 1.5 (<https://cyclonedx.org/docs/1.5/json/>).
//! May not claim what nobody knows: no time, no version of what the machine's own archive decides, no licence that was not looked up.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::packages::Packages;
use anymetal_contract::plan::{self, Arch, Plan};
use anymetal_contract::{Digest, abilities};
use cyclonedx_bom::external_models::uri::{Purl, Uri};
use cyclonedx_bom::models::bom::{Bom, SpecVersion};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::external_reference::{ExternalReference, ExternalReferenceType, ExternalReferences};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::license::{LicenseChoice, Licenses};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::Tools;
use cyclonedx_bom::validation::Validate as _;
use serde_json::Value;

use crate::component;
use crate::init_binary::Init;
use crate::plan::{canonical, digest};

/// The file in OUT.
pub const FILE: &str = "sbom.cdx.json";
/// What SPDX says where nothing is known.
const UNKNOWN: &str = "NOASSERTION";

/// The document: JSON with sorted keys and a line feed at the end. `lists` are the pinned packages; without them, packages of the operating
/// system have names and no versions.
pub fn document(plan: &Plan, lists: &BTreeMap<Arch, Packages>, inits: &[Init]) -> Result<String> {
    let mut components: Vec<Component> = inits.iter().map(init).collect();
    let listed: BTreeSet<&str> = lists.values().flat_map(|list| &list.packages).map(|package| &*package.name).collect();
    let mut loose = BTreeSet::new();
    for component in &plan.components {
        match &component.source {
            plan::Source::Artefacts(artefacts) => {
                components.extend(artefacts.iter().map(|(arch, artefact)| archive(component, *arch, artefact)));
            }
            plan::Source::HostPackage(host) => _ = loose.insert(&*host.package),
        }
        loose.extend(component.packages.iter().map(String::as_str));
    }
    components.extend(loose.iter().filter(|name| !listed.contains(**name)).map(|name| unpinned(plan, name)));
    for (arch, list) in lists {
        components.extend(list.packages.iter().map(|package| pinned(plan, *arch, package)));
    }
    components.sort_by(|one, other| one.bom_ref.cmp(&other.bom_ref));
    let bom = whole(plan, components);
    let judged = bom.validate_version(SpecVersion::V1_5);
    ensure!(judged.passed(), "the bill of materials is not valid, a mistake of anymetal: {judged:?}");
    // What it is called is made of what it says, so two that say the same are the same.
    let mut value = json(bom)?;
    value["serialNumber"] = serial(&canonical(&value)).into();
    value.sort_all_objects();
    let mut text = serde_json::to_string_pretty(&value).expect("a value is JSON");
    text.push('\n');
    Ok(text)
}

/// The site as what all of it is for, and by what it was made.
fn whole(plan: &Plan, components: Vec<Component>) -> Bom {
    let digest = digest(&canonical(plan));
    let root = format!("site {}", plan.site);
    let site = Component::new(Classification::Platform, &plan.site, &format!("sha256:{digest}"), Some(root.clone()));
    let mut maker = Component::new(Classification::Application, "anymetal", env!("CARGO_PKG_VERSION"), None);
    maker.licenses = Some(licence(Some(env!("CARGO_PKG_LICENSE"))));
    let refs = components.iter().filter_map(|component| component.bom_ref.clone()).collect();
    Bom {
        version: 1,
        serial_number: None,
        metadata: Some(Metadata {
            component: Some(site),
            tools: Some(Tools::Object { services: None, components: Some(Components(vec![maker])) }),
            ..Metadata::default()
        }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(vec![Dependency { dependency_ref: root, dependencies: refs }])),
        spec_version: SpecVersion::V1_5,
        services: None,
        external_references: None,
        compositions: None,
        properties: None,
        vulnerabilities: None,
        signature: None,
        annotations: None,
        formulation: None,
    }
}

fn init(init: &Init) -> Component {
    let release = &init.abilities.release;
    Component {
        licenses: Some(licence((init.abilities.kind == abilities::KIND).then_some(env!("CARGO_PKG_LICENSE")))),
        purl: purl(&format!("pkg:generic/anymetal-init@{release}?arch={}", init.arch)),
        ..of("anymetal-init", Some(release), Some(init.arch), Some(&init.sha256))
    }
}

fn archive(component: &plan::Component, arch: Arch, artefact: &plan::Artefact) -> Component {
    let known = component::named(&component.name);
    let version = component.version.parse().ok();
    let known = known.zip(version);
    let distribution = |url: &String| ExternalReference::new(ExternalReferenceType::Distribution, Uri::new(url));
    let urls: Vec<_> = artefact.urls.iter().map(distribution).collect();
    Component {
        licenses: Some(licence(known.and_then(|(known, version)| known.licence(version)))),
        purl: known.and_then(|(known, version)| purl(&known.purl(version)?)),
        external_references: (!urls.is_empty()).then_some(ExternalReferences(urls)),
        ..of(&component.name, Some(&component.version), Some(arch), Some(&artefact.sha256))
    }
}

/// A package of the operating system whose version the machine's own archive decides.
fn unpinned(plan: &Plan, name: &str) -> Component {
    Component {
        licenses: Some(licence(licence_of(plan, name))),
        purl: purl(&format!("pkg:deb/debian/{}?distro={}", escaped(name), plan.os)),
        ..of(name, None, None, None)
    }
}

fn pinned(plan: &Plan, arch: Arch, package: &anymetal_contract::packages::Package) -> Component {
    let debian = arch.debian();
    let (name, version) = (escaped(&package.name), escaped(&package.version));
    Component {
        licenses: Some(licence(licence_of(plan, &package.name))),
        purl: purl(&format!("pkg:deb/debian/{name}@{version}?arch={debian}&distro={}", plan.os)),
        ..of(&package.name, Some(&package.version), Some(arch), Some(&package.sha256))
    }
}

/// What a component's description says of the package it names; of others nobody has told us.
fn licence_of(plan: &Plan, package: &str) -> Option<&'static str> {
    let names = |component: &&plan::Component| matches!(&component.source, plan::Source::HostPackage(host) if host.package == package);
    let component = plan.components.iter().find(names)?;
    component::named(&component.name)?.licence(component.version.parse().ok()?)
}

/// A component that has what all have.
fn of(name: &str, version: Option<&str>, arch: Option<Arch>, sha256: Option<&Digest>) -> Component {
    let words = [Some(name), version, arch.map(Arch::id)];
    let bom_ref = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let hash = |sha256: &Digest| Hash { alg: HashAlgorithm::SHA_256, content: HashValue(sha256.to_string()) };
    let property = |arch: Arch| Properties(vec![Property::new("anymetal:architecture", arch.id())]);
    let mut component = Component::new(Classification::Application, name, version.unwrap_or_default(), Some(bom_ref));
    if version.is_none() {
        component.version = None;
    }
    component.hashes = sha256.map(|sha256| Hashes(vec![hash(sha256)]));
    component.properties = arch.map(property);
    component
}

fn licence(expression: Option<&str>) -> Licenses {
    Licenses(vec![expression.map_or_else(|| LicenseChoice::license(UNKNOWN), LicenseChoice::expression)])
}

fn purl(text: &str) -> Option<Purl> {
    text.parse().ok()
}

/// A name or version as a purl writes it: `+`, `:` and `~` are met in those of Debian.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('+', "%2B").replace(':', "%3A")
}

fn json(bom: Bom) -> Result<Value> {
    let mut bytes = Vec::new();
    bom.output_as_json_v1_5(&mut bytes).context("writing the bill of materials")?;
    serde_json::from_slice(&bytes).context("reading back the bill of materials")
}

/// A UUID of version 8 (RFC 9562 section 5.8) from the digest of these bytes.
fn serial(bytes: &[u8]) -> String {
    let mut hex: Vec<char> = digest(bytes).as_str().chars().take(32).collect();
    hex[12] = '8';
    hex[16] = 'a';
    let part = |range: std::ops::Range<usize>| hex[range].iter().collect::<String>();
    format!("urn:uuid:{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use anymetal_contract::packages::{self, Package};
    use anymetal_lab::init_double::Double;
    use serde_json::json;

    use super::*;
    use crate::{init_binary, sample};

    fn plan() -> Plan {
        crate::plan::draft(&sample::site()).unwrap()
    }

    fn lists() -> BTreeMap<Arch, Packages> {
        let package = |name: &str, version: &str, byte| Package {
            name: name.into(),
            version: version.into(),
            sha256: Digest::of([byte; 32]),
            size: 7,
            urls: vec![],
        };
        let list = Packages {
            kind: packages::KIND.into(),
            version: packages::VERSION,
            os: "debian-12".into(),
            arch: Arch::X86_64,
            packages: vec![package("bird2", "2.0.12-7", 1), package("libssh-gcrypt-4", "0.10.6-0+deb12u1", 2)],
        };
        BTreeMap::from([(Arch::X86_64, list)])
    }

    fn made(lists: &BTreeMap<Arch, Packages>) -> Value {
        let init = init_binary::inspect(Path::new("init"), Double::of(Arch::X86_64).elf()).unwrap();
        serde_json::from_str(&document(&plan(), lists, &[init]).unwrap()).unwrap()
    }

    fn component<'v>(bom: &'v Value, bom_ref: &str) -> &'v Value {
        let components = bom["components"].as_array().unwrap();
        components.iter().find(|component| component["bom-ref"] == bom_ref).unwrap_or(&Value::Null)
    }

    #[test]
    fn every_component_has_its_version_its_digest_and_its_licence() {
        let bom = made(&lists());
        let consul = component(&bom, "consul 1.16.1 x86_64");
        assert_eq!(consul["purl"], "pkg:github/hashicorp/consul@v1.16.1");
        assert_eq!(
            consul["hashes"],
            json!([{"alg": "SHA-256", "content": "1d48942fa9f1d0df3f56a1622c7a46e9b85924ed9976338912101bb5519aadf1"}])
        );
        assert_eq!(consul["licenses"], json!([{"expression": "MPL-2.0"}]));
        let bird = component(&bom, "bird2 2.0.12-7 x86_64");
        assert_eq!(bird["purl"], "pkg:deb/debian/bird2@2.0.12-7?arch=amd64&distro=debian-12");
        assert_eq!(bird["licenses"], json!([{"expression": "GPL-2.0-or-later"}]));
        let library = component(&bom, "libssh-gcrypt-4 0.10.6-0+deb12u1 x86_64");
        assert_eq!(library["purl"], "pkg:deb/debian/libssh-gcrypt-4@0.10.6-0%2Bdeb12u1?arch=amd64&distro=debian-12");
        assert_eq!(library["licenses"], json!([{"license": {"name": "NOASSERTION"}}]));
        let init = component(&bom, "anymetal-init 0.0.0-double x86_64");
        assert_eq!(init["licenses"], json!([{"expression": "Apache-2.0"}]));
        assert_eq!(component(&bom, "bird2"), &Value::Null, "it is pinned, so it is not there a second time");
    }

    #[test]
    fn what_the_machines_archive_decides_has_no_version() {
        let bom = made(&BTreeMap::new());
        let bird = component(&bom, "bird2");
        assert_eq!((&bird["version"], &bird["hashes"]), (&Value::Null, &Value::Null));
        assert_eq!(bird["purl"], "pkg:deb/debian/bird2?distro=debian-12");
    }

    #[test]
    fn the_library_reads_it_back_and_finds_it_valid() {
        for lists in [lists(), BTreeMap::new()] {
            let text = made(&lists).to_string();
            let bom = Bom::parse_from_json_v1_5(text.as_bytes()).unwrap();
            let judged = bom.validate_version(SpecVersion::V1_5);
            assert!(judged.passed(), "{judged:?}");
        }
    }

    #[test]
    fn the_licences_of_the_sources_that_changed_them_change_with_the_version() {
        for (name, version, licence) in [
            ("consul", "1.16.9", "MPL-2.0"),
            ("consul", "1.17.0", "BUSL-1.1"),
            ("nomad", "1.6.10", "MPL-2.0"),
            ("nomad", "2.0.5", "BUSL-1.1"),
        ] {
            let known = component::named(name).unwrap();
            assert_eq!(known.licence(version.parse().unwrap()), Some(licence), "{name} {version}");
        }
        for known in component::all() {
            assert!(known.licence(known.default).is_some(), "{} has no licence", known.name);
            assert_eq!(known.purl(known.default).is_none(), known.is_host_package(), "{}", known.name);
        }
    }

    #[test]
    fn its_number_is_made_of_what_it_says() {
        let (one, other) = (made(&lists()), made(&BTreeMap::new()));
        assert_eq!(one["serialNumber"], made(&lists())["serialNumber"]);
        assert_ne!(one["serialNumber"], other["serialNumber"]);
        assert_eq!(one.pointer("/metadata/timestamp"), None);
    }
}
