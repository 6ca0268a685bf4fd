//! The pinned packages of the operating system: their list, read and judged, and what of it a machine lacks.
//! May not run a program: `dpkg` does. `acquire` fetches them, `install` installs them.

pub(crate) mod dpkg;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;

use anymetal_contract::packages::{KIND, Package, Packages, VERSION};
use anymetal_contract::plan::{Arch, Listed};
use anymetal_contract::{Reason, place};

use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::store::Store;
use dpkg::Dpkg;

/// The longest list that is read, in bytes: a package takes some 300, and a whole archive of an operating system has sixty thousand.
const MOST: u64 = 1 << 20;

/// What the plan pins for this machine; `None` when packages come from the system's own archive.
pub(crate) fn listed(world: &World) -> Result<Option<&Listed>, Failure> {
    let lists = &world.plan().packages;
    if lists.is_empty() {
        return Ok(None);
    }
    let listed = lists.get(&world.arch).ok_or_else(|| {
        Failure::new(Reason::NoArtefact, format!("the plan has no list of packages for {}", world.arch))
    })?;
    if listed.size > MOST {
        let words = format!("the list of packages has {} bytes, and no more than {MOST} are read", listed.size);
        return Err(Failure::new(Reason::PackagesUnsound, words));
    }
    Ok(Some(listed))
}

/// The list, which is in the store.
pub(crate) fn read(world: &World, store: &Store, listed: &Listed) -> Result<Packages, Failure> {
    let mut bytes = Vec::new();
    let file = store.read(&listed.sha256).because(Reason::HostFault)?;
    file.take(MOST).read_to_end(&mut bytes).because(Reason::HostFault)?;
    parse(&bytes, &world.plan().os, world.arch)
}

/// What of the list this machine does not have, in the list's order.
pub(crate) fn missing(list: &Packages, dpkg: &Dpkg) -> anyhow::Result<Vec<Package>> {
    let names: Vec<&str> = list.packages.iter().map(|package| package.name.as_str()).collect();
    let installed = dpkg.installed(&names, list.arch)?;
    lacking(list, &installed, |has, wanted| dpkg.is_at_least(has, wanted))
}

/// The decision: a package is there when it is installed in the very version or a newer one.
fn lacking(
    list: &Packages,
    installed: &BTreeMap<String, String>,
    mut is_at_least: impl FnMut(&str, &str) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<Package>> {
    let mut lacking = Vec::new();
    for package in &list.packages {
        let there = match installed.get(&package.name) {
            Some(version) => *version == package.version || is_at_least(version, &package.version)?,
            None => false,
        };
        if !there {
            lacking.push(package.clone());
        }
    }
    Ok(lacking)
}

/// A list's bytes, for this system and architecture. The plan pins them; what is checked here is that the list is one for this machine, and that
/// what becomes an argument of a program is a word.
fn parse(bytes: &[u8], os: &str, arch: Arch) -> Result<Packages, Failure> {
    let unsound = |what: String| Failure::new(Reason::PackagesUnsound, format!("reading the list of packages: {what}"));
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| unsound(error.to_string()))?;
    let of = |key: &str| value.get(key).cloned().unwrap_or_default();
    if of("kind") != KIND || of("version") != VERSION {
        let (kind, version) = (of("kind"), of("version"));
        return Err(unsound(format!("it is {kind} version {version}, this init reads {KIND:?} version {VERSION}")));
    }
    // serde_json sorts keys and writes no white space, which for names and digits is the canonical form.
    if value.to_string().as_bytes() != bytes {
        return Err(unsound("it is not canonical JSON".into()));
    }
    let list: Packages = serde_json::from_value(value).map_err(|error| unsound(error.to_string()))?;
    if list.os != os || list.arch != arch {
        return Err(unsound(format!("it is for {} on {}, this machine has {os} on {arch}", list.os, list.arch)));
    }
    let mut names = BTreeSet::new();
    for Package { name, version, .. } in &list.packages {
        if !is_name(name) || !is_version(version) {
            return Err(unsound(format!("{name:?} {version:?} is no package and version")));
        }
        if !names.insert(name) {
            return Err(unsound(format!("{name} stands in it twice")));
        }
    }
    Ok(list)
}

/// Debian Policy, section 5.6.1.
fn is_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-.".contains(&byte))
}

/// Debian Policy, section 5.6.12.
fn is_version(version: &str) -> bool {
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte))
}

impl World {
    /// The machine's dpkg.
    pub(crate) fn dpkg(&self) -> Dpkg {
        Dpkg::of((!self.is_node()).then(|| self.at("/")))
    }

    /// The content store.
    pub(crate) fn store(&self) -> Result<Store, Failure> {
        Store::open(self.at(place::STORE)).because(Reason::HostFault)
    }
}
