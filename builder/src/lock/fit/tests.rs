//! Locks beside sites, and what differs. What stops is tested beside the reading of a site.

use std::collections::BTreeMap;

use anymetal_contract::Digest;

use super::*;
use crate::lock::resolve;
use crate::sample;
use crate::site::model::Pin;

/// The sample's lock, with a digest that is known.
fn lock(site: &Site) -> Lock {
    let of = |(known, upstream, choice): (&Component, &Artefacts, &Choice)| {
        let archive = |arch: &Arch| {
            let sha256 = upstream.digest(choice.version, *arch).cloned().unwrap();
            let archive =
                Archive { sha256, size: 9, urls: urls(upstream, choice, *arch), witnesses: vec![Witness::Known] };
            (*arch, archive)
        };
        let artefacts = site.architectures.iter().map(archive).collect();
        (known.name.clone(), Locked { version: choice.version.to_string(), artefacts })
    };
    let closure = Closure { suites: BTreeMap::new(), wanted: wanted(site).into_iter().collect(), packages: vec![] };
    let packages = site.architectures.iter().map(|arch| (*arch, closure.clone())).collect();
    resolve::lock(site, archived(site).map(of).collect(), packages)
}

fn said(site: &Site, lock: &Lock) -> Vec<(String, bool)> {
    differences(site, lock).into_iter().map(|difference| (difference.what, difference.stops)).collect()
}

#[test]
fn the_packages_wanted_are_the_systems_own_programs_and_what_components_name() {
    let mut site = sample::site();
    assert_eq!(wanted(&site), BTreeSet::from(["bird2".to_owned()]));
    for name in ["bindle", "nftables", "spin"] {
        let version = component::named(name).unwrap().default;
        site.components.insert(name.into(), Choice { version, ..Choice::default() });
    }
    // libssl1.1 is known not to be there
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(wanted(&site), words(&["bird2", "ca-certificates", "libgcc-s1", "nftables", "zlib1g"]));
    site.components.get_mut("bindle").unwrap().packages = Some(vec!["libssl1.1".into()]);
    site.components.get_mut("spin").unwrap().packages = Some(vec![]);
    assert_eq!(wanted(&site), words(&["bird2", "libssl1.1", "nftables"]));
}

#[test]
fn what_is_there_besides_or_is_pinned_by_the_site_stops_nobody() {
    let site = sample::site();
    assert_eq!(said(&site, &lock(&site)), []);
    let mut both = site.clone();
    both.architectures = Arch::ALL.into();
    assert_eq!(
        said(&site, &lock(&both)),
        [
            ("it has consul for aarch64, and the site has no such machines".to_owned(), false),
            ("it has packages for aarch64, and the site has no such machines".to_owned(), false)
        ]
    );
    assert_eq!(
        said(&both, &lock(&site)),
        [("it has no consul 1.16.1 for aarch64".to_owned(), true), ("it has no packages for aarch64".to_owned(), true)]
    );
    let mut pinned = site.clone();
    let pin = Pin { sha256: Digest::of([3; 32]), size: None, urls: vec!["https://m.example/c.zip".into()] };
    pinned.components.get_mut("consul").unwrap().artefacts.insert(Arch::X86_64, pin);
    let [(what, stops)] = &said(&pinned, &lock(&site))[..] else { panic!("one differs") };
    assert!(what.starts_with("it has consul 1.16.1 for x86_64 as sha256 1d48") && !stops, "{what}");
    let mut addressed = lock(&site);
    let consul = addressed.components.get_mut("consul").unwrap().artefacts.get_mut(&Arch::X86_64).unwrap();
    consul.urls = vec!["https://old.example/c.zip".into()];
    let expected = "it has other addresses of consul 1.16.1 for x86_64: https://old.example/c.zip";
    assert_eq!(said(&site, &addressed), [(expected.to_owned(), false)]);
}

#[test]
fn what_was_pinned_and_is_no_longer_has_to_be_resolved_again() {
    let site = sample::site();
    let mut lock = lock(&site);
    let consul = lock.components.get_mut("consul").unwrap().artefacts.get_mut(&Arch::X86_64).unwrap();
    consul.witnesses = vec![Witness::Site];
    assert_eq!(said(&site, &lock), [("it says that the site pins consul 1.16.1 for x86_64".to_owned(), true)]);
}

#[test]
fn packages_are_those_of_the_same_wants() {
    let site = sample::site();
    let mut lock = lock(&site);
    lock.packages.get_mut(&Arch::X86_64).unwrap().wanted = vec!["bird2".into(), "curl".into()];
    let expected = "it has the packages for x86_64 that bird2, curl takes, and the site wants bird2";
    assert_eq!(said(&site, &lock), [(expected.to_owned(), true)]);
    lock.packages.clear();
    assert_eq!(said(&site, &lock), [("it has no packages of the operating system".to_owned(), false)]);
}
