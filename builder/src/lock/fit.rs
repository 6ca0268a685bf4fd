//! Whether a lock is of a site: what differs, in words, and whether it can be used all the same.
//! May not ask anybody: what it takes is in the two.

use std::collections::BTreeSet;

use anymetal_contract::plan::Arch;
use anymetal_contract::terminal;

use super::document::{Archive, Closure, Lock, Locked, Witness};
use crate::component::{self, Artefacts, Component, Source};
use crate::site::Site;
use crate::site::model::Choice;

/// One way in which a lock is not what `anymetal lock` would make of the site now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What differs, as a sentence.
    pub what: String,
    /// Whether nothing can be made of the site with this lock.
    pub stops: bool,
}

impl Difference {
    fn stops(what: String) -> Self {
        Self { what, stops: true }
    }

    fn idle(what: String) -> Self {
        Self { what, stops: false }
    }
}

/// All that differs.
pub fn differences(site: &Site, lock: &Lock) -> Vec<Difference> {
    let mut all = Vec::new();
    if lock.site != site.name {
        all.push(Difference::stops(format!("it is of the site {}, and this is {}", lock.site, site.name)));
    }
    if lock.os != site.os {
        all.push(Difference::stops(format!("it is for {}, and the site for {}", lock.os, site.os)));
    }
    let mut expected = BTreeSet::new();
    for (known, upstream, choice) in archived(site) {
        expected.insert(known.name.as_str());
        component(site, known, upstream, choice, lock.components.get(&known.name), &mut all);
    }
    for name in lock.components.keys().filter(|name| !expected.contains(name.as_str())) {
        all.push(Difference::idle(format!("it has {name}, which the site has not")));
    }
    packages(site, lock, &mut all);
    // a lock is somebody's text
    for difference in &mut all {
        difference.what = terminal::one_line(&difference.what);
    }
    all
}

/// The site's components that come as archives, in the order of a lock.
pub fn archived(site: &Site) -> impl Iterator<Item = (&'static Component, &'static Artefacts, &Choice)> {
    component::by_name().filter_map(|known| match &known.source {
        Source::Artefacts(upstream) => Some((known, upstream, site.components.get(&known.name)?)),
        Source::HostPackage(_) => None,
    })
}

/// The packages of the operating system that the site's components want, sorted; but for those that it is known not to have, of which reading the
/// site has warned.
pub fn wanted(site: &Site) -> BTreeSet<String> {
    let of = |(name, choice): (&String, &Choice)| {
        let Some(known) = component::named(name) else { return Vec::new() };
        let missing: Vec<_> = known.missing(choice.version, &site.os).map(|(package, _)| package).collect();
        let there = |package: &&str| !missing.contains(package);
        let own = || known.packages(choice.version, &site.os).filter(there).map(str::to_owned).collect();
        let mut packages = choice.packages.clone().unwrap_or_else(own);
        if let Source::HostPackage(host) = &known.source {
            packages.push(host.package.package.clone());
        }
        packages
    };
    site.components.iter().flat_map(of).collect()
}

fn component(
    site: &Site,
    known: &Component,
    upstream: &Artefacts,
    choice: &Choice,
    locked: Option<&Locked>,
    all: &mut Vec<Difference>,
) {
    let (name, version) = (&known.name, choice.version);
    // what the site pins itself needs no lock
    let needs = site.architectures.iter().any(|arch| !choice.artefacts.contains_key(arch));
    let Some(locked) = locked else {
        all.push(Difference { what: format!("it has no {name}"), stops: needs });
        return;
    };
    if locked.version != version.to_string() {
        let what = format!("it has {name} {}, and the site {version}", locked.version);
        all.push(Difference { what, stops: needs });
        return;
    }
    for arch in &site.architectures {
        let Some(archive) = locked.artefacts.get(arch) else {
            let stops = !choice.artefacts.contains_key(arch);
            all.push(Difference { what: format!("it has no {name} {version} for {arch}"), stops });
            continue;
        };
        all.extend(archive_of(known, upstream, choice, *arch, archive));
    }
    for arch in locked.artefacts.keys().filter(|arch| !site.architectures.contains(arch)) {
        all.push(Difference::idle(format!("it has {name} for {arch}, and the site has no such machines")));
    }
}

/// What differs between an archive of the lock and what the site and the description say of it.
pub fn archive_of(
    known: &Component,
    upstream: &Artefacts,
    choice: &Choice,
    arch: Arch,
    archive: &Archive,
) -> Option<Difference> {
    let what = format!("{} {} for {arch}", known.name, choice.version);
    let pin = choice.artefacts.get(&arch);
    let own = pin.is_some_and(|pin| !pin.urls.is_empty());
    if let Some(pin) = pin {
        if pin.sha256 != archive.sha256 {
            let what = format!("it has {what} as sha256 {}, and the site as {}", archive.sha256, pin.sha256);
            return Some(Difference::idle(what));
        }
        if pin.size.is_some_and(|size| size != archive.size) {
            return Some(Difference::idle(format!("it has another size of {what} than the site")));
        }
    }
    if pin.is_some() != archive.witnesses.contains(&Witness::Site) {
        let says = if pin.is_some() { "it does not say that" } else { "it says that" };
        return Some(Difference { what: format!("{says} the site pins {what}"), stops: pin.is_none() });
    }
    let digest = upstream.digest(choice.version, arch).filter(|_| !own);
    if let Some(digest) = digest.filter(|digest| **digest != archive.sha256) {
        let what = format!("it has {what} as sha256 {}, which is known as {digest}", archive.sha256);
        return Some(Difference::stops(what));
    }
    let urls = urls(upstream, choice, arch);
    (urls != archive.urls)
        .then(|| Difference::idle(format!("it has other addresses of {what}: {}", archive.urls.join(", "))))
}

/// Where an archive can be had: where the site says, else upstream's own address.
pub fn urls(upstream: &Artefacts, choice: &Choice, arch: Arch) -> Vec<String> {
    let given = choice.artefacts.get(&arch).map(|pin| pin.urls.clone()).unwrap_or_default();
    if given.is_empty() { upstream.url(choice.version, arch).into_iter().collect() } else { given }
}

/// With a lock without packages none is pinned, and the nodes take what their archive has.
fn packages(site: &Site, lock: &Lock, all: &mut Vec<Difference>) {
    if lock.packages.is_empty() {
        all.push(Difference::idle("it has no packages of the operating system".to_owned()));
        return;
    }
    let wanted: Vec<_> = wanted(site).into_iter().collect();
    for arch in &site.architectures {
        match lock.packages.get(arch) {
            None => all.push(Difference::stops(format!("it has no packages for {arch}"))),
            Some(Closure { wanted: locked, .. }) if *locked != wanted => {
                let (locked, wanted) = (locked.join(", "), wanted.join(", "));
                let what = format!("it has the packages for {arch} that {locked} takes, and the site wants {wanted}");
                all.push(Difference::stops(what));
            }
            Some(_) => {}
        }
    }
    for arch in lock.packages.keys().filter(|arch| !site.architectures.contains(arch)) {
        all.push(Difference::idle(format!("it has packages for {arch}, and the site has no such machines")));
    }
}

#[cfg(test)]
mod tests;
