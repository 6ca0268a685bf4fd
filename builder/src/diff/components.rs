//! What is installed: components, packages of the operating system, the init itself.
//! May not say what is restarted for it: `touched` does.

use std::collections::BTreeMap;

use anymetal_contract::packages::{Package, Packages};
use anymetal_contract::plan::{Arch, Artefact, Component, Listed, Plan, Source};

use super::pair::{arrow, keyed, lists, pairs, perhaps};
use crate::form::Carried;

/// `consul 1.21.5 → 1.22.7`
pub(super) fn components(old: &Plan, new: &Plan) -> Vec<String> {
    let pairs = pairs(&old.components, &new.components, |component| &component.name);
    let of = |(name, old, new): (&str, Option<&Component>, Option<&Component>)| match (old, new) {
        (Some(old), Some(new)) => changed(name, old, new),
        (None, Some(new)) => vec![format!("{name} {} added", new.version)],
        (Some(old), None) => vec![format!("{name} {} removed", old.version)],
        (None, None) => Vec::new(),
    };
    pairs.into_iter().flat_map(of).collect()
}

fn changed(name: &str, old: &Component, new: &Component) -> Vec<String> {
    let mut words: Vec<_> = arrow(name, &old.version, &new.version).into_iter().collect();
    let same_version = words.is_empty();
    match (&old.source, &new.source) {
        (Source::Artefacts(old), Source::Artefacts(new)) => {
            let of = |(arch, old, new): (&Arch, Option<&Artefact>, Option<&Artefact>)| {
                archive(&format!("{name}: archive for {arch}"), old, new, same_version)
            };
            words.extend(keyed(old, new).into_iter().flat_map(of));
        }
        (Source::HostPackage(old), Source::HostPackage(new)) => {
            words.extend(arrow(&format!("{name}: host package"), &old.package, &new.package));
            words.extend(arrow(&format!("{name}: program"), &old.program, &new.program));
            words.extend(arrow(
                &format!("{name}: asked for its version by"),
                &old.version_argument,
                &new.version_argument,
            ));
        }
        (_, Source::Artefacts(_)) => {
            words.push(format!("{name}: from an archive, no longer from the operating system"));
        }
        (_, Source::HostPackage(_)) => {
            words.push(format!("{name}: from the operating system, no longer from an archive"));
        }
    }
    let label = format!("{name}: package");
    words.extend(lists(&label, &old.packages, &new.packages));
    let features = |component: &Component| component.features.iter().cloned().collect::<Vec<_>>();
    words.extend(lists(&format!("{name}: feature"), &features(old), &features(new)));
    words.extend(perhaps(&format!("{name}: system user"), old.user.as_ref(), new.user.as_ref(), "none"));
    words
}

fn archive(label: &str, old: Option<&Artefact>, new: Option<&Artefact>, same_version: bool) -> Vec<String> {
    let (Some(old), Some(new)) = (old, new) else {
        return vec![format!("{label} {}", if new.is_some() { "added" } else { "removed" })];
    };
    let mut words = Vec::new();
    if same_version && old.sha256 != new.sha256 {
        words.push(format!(
            "{label} replaced under the same version, sha256 {}… → {}…",
            old.sha256.short(),
            new.sha256.short()
        ));
    }
    if old.format != new.format {
        words.push(format!("{label} is of another kind"));
    }
    if old.members != new.members {
        words.push(format!("{label}: other files are taken out of it"));
    }
    if same_version && old.sha256 == new.sha256 && old.size != new.size {
        words.extend(perhaps(&format!("{label}: pinned size"), old.size.as_ref(), new.size.as_ref(), "none"));
    }
    if same_version && old.urls != new.urls {
        words.push(format!(
            "{label} comes from other addresses: {}",
            new.urls.iter().map(|url| anymetal_supply::origin::shown(url)).collect::<Vec<_>>().join(", ")
        ));
    }
    words
}

/// `package bird2 2.0.12-7 → 2.0.13-1 (x86_64)`, when both forms have the lists.
pub(super) fn packages(old: &Carried, new: &Carried) -> Vec<String> {
    let of = |(arch, was, is): (&Arch, Option<&Listed>, Option<&Listed>)| match (was, is) {
        (was, is) if was == is => Vec::new(),
        (Some(_), Some(_)) => {
            let list = |carried: &Carried| carried.lists.as_ref().and_then(|lists| lists.get(arch).cloned());
            match (list(old), list(new)) {
                (Some(old), Some(new)) => listed(*arch, &old, &new),
                _ => vec![format!("packages for {arch} changed; a bundle or a folder of each side says which")],
            }
        }
        (None, _) => vec![format!("packages for {arch} pinned")],
        (_, None) => vec![format!("packages for {arch} no longer pinned: they come from the system's own archive")],
    };
    keyed(&old.plan.packages, &new.plan.packages).into_iter().flat_map(of).collect()
}

fn listed(arch: Arch, old: &Packages, new: &Packages) -> Vec<String> {
    let pairs = pairs(&old.packages, &new.packages, |package| &package.name);
    let of = |(name, old, new): (&str, Option<&Package>, Option<&Package>)| match (old, new) {
        (Some(old), Some(new)) if old.version != new.version => {
            Some(format!("package {name} {} → {} ({arch})", old.version, new.version))
        }
        (Some(old), Some(new)) if old.sha256 != new.sha256 => Some(format!(
            "package {name} {} replaced under the same version, sha256 {}… → {}… ({arch})",
            new.version,
            old.sha256.short(),
            new.sha256.short()
        )),
        (None, Some(new)) => Some(format!("package {name} {} added ({arch})", new.version)),
        (Some(old), None) => Some(format!("package {name} {} no longer installed ({arch})", old.version)),
        _ => None,
    };
    let words: Vec<_> = pairs.into_iter().filter_map(of).collect();
    if words.is_empty() {
        vec![format!("packages for {arch}: the same ones, from other addresses or in another order")]
    } else {
        words
    }
}

/// The init, when both forms pin one.
pub(super) fn inits(old: &Carried, new: &Carried) -> Vec<String> {
    let (Some(old), Some(new)) = (&old.inits, &new.inits) else { return Vec::new() };
    let none = BTreeMap::new();
    let (old, new) = if old == new { (&none, &none) } else { (old, new) };
    let of = |(arch, old, new): (&Arch, Option<&anymetal_contract::Digest>, Option<&anymetal_contract::Digest>)| match (
        old, new,
    ) {
        (old, new) if old == new => None,
        (Some(old), Some(new)) => {
            Some(format!("anymetal-init for {arch} replaced, sha256 {}… → {}…", old.short(), new.short()))
        }
        (None, _) => Some(format!("anymetal-init for {arch} added")),
        (_, None) => Some(format!("anymetal-init for {arch} removed")),
    };
    keyed(old, new).into_iter().filter_map(of).collect()
}
