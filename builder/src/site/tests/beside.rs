//! What lies beside a site: upstreams' keys and the lock.

use std::collections::BTreeMap;
use std::path::Path;

use anymetal_contract::Digest;
use anymetal_contract::plan::Arch;

use super::*;
use crate::lock::document::{Archive, Lock, Locked, Witness};
use crate::lock::fit;
use crate::lock::resolve;

const HASHICORP: &str = include_str!("../../../../templates/keys/hashicorp.asc");
/// One architecture, and only Consul as an archive.
const CONSUL: &str = "architectures: [x86_64]\ncomponents: {consul: 1.21.5, nomad: none}\n";

/// A folder with a site of these lines.
fn folder(lines: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("s.yaml"), format!("{SMALLEST}{lines}")).unwrap();
    folder
}

/// What is said, without the folder's path.
fn read_in(folder: &Path) -> Result<Site, Vec<String>> {
    let place = format!("{}/", folder.display());
    let words = |found: Vec<Diagnostic>| found.iter().map(|one| one.to_string().replace(&place, "")).collect();
    read(&folder.join("s.yaml")).map(|(site, _)| site).map_err(words)
}

/// A lock of the site, as upstream has it.
fn lock_of(site: &Site) -> Lock {
    let of =
        |(known, upstream, choice): (&crate::component::Component, &crate::component::Artefacts, &model::Choice)| {
            let archive = |arch: &Arch| {
                let digest = upstream.digest(choice.version, *arch).cloned().unwrap_or(Digest::of([7; 32]));
                let urls = fit::urls(upstream, choice, *arch);
                (*arch, Archive { sha256: digest, size: 123, urls, witnesses: vec![Witness::Checksums] })
            };
            let artefacts = site.architectures.iter().map(archive).collect();
            (known.name.clone(), Locked { version: choice.version.to_string(), artefacts })
        };
    resolve::lock(site, fit::archived(site).map(of).collect(), BTreeMap::new())
}

#[test]
fn an_upstream_is_elsewhere_with_another_key() {
    let folder = folder("sources: {github: https://m.example/gh/, hashicorp: {key: keys/h.asc}}\n");
    fs::create_dir(folder.path().join("keys")).unwrap();
    fs::write(folder.path().join("keys/h.asc"), HASHICORP).unwrap();
    let site = read_in(folder.path()).unwrap();
    assert_eq!(site.sources["github"].url.as_deref(), Some("https://m.example/gh"));
    assert_eq!(site.sources["hashicorp"].key.as_deref(), Some(HASHICORP.as_bytes()));
    assert_eq!(site.sources.len(), 2);
}

#[test]
fn a_lock_beside_the_site_is_read_and_goes_into_the_plan() {
    let folder = folder(CONSUL);
    assert_eq!(read_in(folder.path()).unwrap().lock, None);
    let mut lock = lock_of(&read_in(folder.path()).unwrap());
    fs::write(folder.path().join("s.lock"), lock.text()).unwrap();
    let site = read_in(folder.path()).unwrap();
    assert_eq!(site.lock.as_ref(), Some(&lock));
    let planned = |site: &Site| match crate::plan::draft(site).unwrap().components.remove(1).source {
        anymetal_contract::plan::Source::Artefacts(artefacts) => artefacts[&Arch::X86_64].size,
        anymetal_contract::plan::Source::HostPackage(package) => panic!("{package:?}"),
    };
    assert_eq!(planned(&site), Some(123));

    lock.components.get_mut("consul").unwrap().version = "1.21.4".into();
    fs::write(folder.path().join("s.lock"), lock.text()).unwrap();
    let hint = format!("hint: run `anymetal lock {}/s.yaml`", folder.path().display())
        .replace(&format!("{}/", folder.path().display()), "");
    assert_eq!(
        read_in(folder.path()).unwrap_err(),
        [format!("s.lock: it has consul 1.21.4, and the site 1.21.5; {hint}")]
    );
    let (unlocked, _) = unlocked(&folder.path().join("s.yaml")).unwrap();
    assert_eq!(unlocked.lock, None);
}

#[test]
fn a_lock_that_is_not_the_sites_is_a_mistake_that_names_the_lock() {
    let folder = folder(CONSUL);
    let site = read_in(folder.path()).unwrap();
    let said = |change: &dyn Fn(&mut Lock)| {
        let mut lock = lock_of(&site);
        change(&mut lock);
        fs::write(folder.path().join("s.lock"), lock.text()).unwrap();
        read_in(folder.path())
            .map(drop)
            .map_err(|found| found.join("\n").replace("; hint: run `anymetal lock s.yaml`", ""))
    };
    let consul = |lock: &mut Lock| lock.components.get_mut("consul").unwrap().artefacts.remove(&Arch::X86_64).unwrap();
    assert_eq!(said(&|_| {}), Ok(()));
    for (change, expected) in [
        (
            &(|lock: &mut Lock| lock.site = "other".into()) as &dyn Fn(&mut Lock),
            "s.lock: it is of the site other, and this is demo",
        ),
        (&|lock| lock.os = "debian-13".into(), "s.lock: it is for debian-13, and the site for debian-12"),
        (&|lock| lock.components.clear(), "s.lock: it has no consul"),
        (&|lock| drop(consul(lock)), "s.lock: it has no consul 1.21.5 for x86_64"),
        (
            &|lock| {
                let other = Archive { sha256: Digest::of([1; 32]), ..consul(lock) };
                lock.components.get_mut("consul").unwrap().artefacts.insert(Arch::X86_64, other);
            },
            "s.lock: it has consul 1.21.5 for x86_64 as sha256 0101010101010101010101010101010101010101010101010101010101010101, which is known as 2dfb63fcabe9f15b956cf408248d9ebe36cfd662ca182352942a3bd4e5d5faca",
        ),
    ] {
        assert_eq!(said(change), Err(expected.to_owned()));
    }
    // what is there besides harms nobody
    assert_eq!(said(&|lock| drop(lock.components.insert("odd".into(), lock.components["consul"].clone()))), Ok(()));
    fs::write(folder.path().join("s.lock"), "{").unwrap();
    let found = read_in(folder.path()).unwrap_err();
    assert!(found.len() == 1 && found[0].starts_with("s.lock: it is no JSON: "), "{found:?}");
    assert!(found[0].ends_with("; hint: run `anymetal lock s.yaml`"), "{found:?}");
}

#[test]
fn what_the_site_pins_itself_needs_no_lock() {
    let pin = "cd".repeat(32);
    let folder = folder(&format!(
        "architectures: [x86_64]\ncomponents: {{consul: {{version: 1.21.5, artefacts: {{x86_64: {{sha256: {pin}}}}}}}, nomad: none}}\n"
    ));
    let site = read_in(folder.path()).unwrap();
    let mut lock = lock_of(&site);
    lock.components.clear();
    fs::write(folder.path().join("s.lock"), lock.text()).unwrap();
    let site = read_in(folder.path()).unwrap();
    assert_eq!(fit::differences(&site, &lock)[0].what, "it has no consul");
    let digest =
        crate::plan::draft(&site).unwrap().components.into_iter().find_map(|component| match component.source {
            anymetal_contract::plan::Source::Artefacts(artefacts) => Some(artefacts[&Arch::X86_64].sha256.to_string()),
            anymetal_contract::plan::Source::HostPackage(_) => None,
        });
    assert_eq!(digest, Some(pin));
}
