//! Packages of the operating system that components need: from the plan's list when it has one, else what is missing is installed from the
//! system's own archive, as an administrator would. May not choose a package: the plan names them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use anymetal_contract::plan::{Component, Source};
use anymetal_contract::{Outcome, Phase, Reason};

use super::apt::{Apt, Ended};
use super::pinned;
use crate::packages::listed;
use crate::phase::Steps;
use crate::plan::count;
use crate::sys::process;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// How long a question to dpkg may take.
const QUESTION: Duration = Duration::from_secs(30);
/// What became of the host's packages.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Became {
    Same,
    Changed,
    /// Somebody else has to finish first; in words.
    Waits(String),
}

/// Makes sure that the host has every package the components name.
pub(super) fn ensure(world: &World, steps: &dyn Steps, path: &OsStr) -> Result<Became, Failure> {
    let components = &world.plan().components;
    let Some(listed) = listed(world)? else { return from_archive(world, steps, path) };
    let became = pinned::ensure(world, listed, steps)?;
    if let Became::Waits(_) = became {
        return Ok(became);
    }
    let missing = missing(world, components, path)?;
    if missing.is_empty() {
        return Ok(became);
    }
    let message = format!("the system lacks {}, and the plan's list of packages does not have that", missing.join(" "));
    Err(Failure::new(Reason::HostPackageMissing, message))
}

/// Why packages are left as they are for now: this node runs something already, and whether the plan fits it is not known yet. dpkg may restart what
/// it replaces, so it waits for the facts; files that are refused by their own programs come after it all the same, since those programs are in
/// the packages.
pub(super) fn held_back(world: &World) -> Option<Became> {
    let runs = || world.ledger.get().is_some_and(|ledger| ledger.ask(|ledger| !ledger.units.is_empty()));
    let open = world.plan().phases.contains(&Phase::Facts) && world.facts.get().is_none();
    (open && runs()).then(|| {
        Became::Waits("packages: held back until the facts are known, since this node runs already".to_owned())
    })
}

/// What the components name and neither the system has nor its list has brought.
fn missing<'a>(world: &World, components: &'a [Component], path: &OsStr) -> Result<Vec<&'a str>, Failure> {
    let named = named(components);
    let installed = world.dpkg().installed(&named, world.arch).because(Reason::HostPackageMissing)?;
    let mut missing: Vec<_> = named.into_iter().filter(|name| !installed.contains_key(*name)).collect();
    missing.extend(absent_programs(components, path));
    Ok(missing)
}

fn named(components: &[Component]) -> Vec<&str> {
    let named: BTreeSet<&str> =
        components.iter().flat_map(|component| &component.packages).map(String::as_str).collect();
    named.into_iter().collect()
}

fn from_archive(world: &World, steps: &dyn Steps, path: &OsStr) -> Result<Became, Failure> {
    let components = &world.plan().components;
    let mut missing = Vec::new();
    for package in named(components) {
        if !is_installed(package, path)? {
            missing.push(package);
        }
    }
    missing.extend(absent_programs(components, path));
    if missing.is_empty() {
        return Ok(Became::Same);
    }
    if let Some(held) = held_back(world) {
        return Ok(held);
    }
    let list = missing.join(" ");
    steps.step(
        "packages",
        Outcome::Progress,
        &format!("installing {} of the system: {list}", count(missing.len(), "package")),
    );
    let apt = Apt { path, variables: world.way().variables() };
    match apt.install(&missing, |words| steps.step("packages", Outcome::Progress, words)) {
        Ended::Installed => {
            steps.step("packages", Outcome::Done, &format!("installed from the system's archive: {list}"));
            Ok(Became::Changed)
        }
        Ended::NotYet(words) => {
            let message = format!("packages: the system lacks {list}, and apt-get cannot install that yet: {words}");
            Ok(Became::Waits(message))
        }
        Ended::Never(words) => {
            let message = format!("the system lacks {list}, and apt-get cannot install that: {words}");
            Err(Failure::new(Reason::HostPackageMissing, message))
        }
    }
}

/// Packages of host components whose program is not there at all.
fn absent_programs<'a>(components: &'a [Component], path: &OsStr) -> Vec<&'a str> {
    let hosts = components.iter().filter_map(|component| match &component.source {
        Source::HostPackage(package) => Some(package),
        Source::Artefacts(_) => None,
    });
    hosts.filter(|host| process::find(&host.program, path).is_none()).map(|host| host.package.as_str()).collect()
}

fn is_installed(package: &str, path: &OsStr) -> Result<bool, Failure> {
    let mut programs = OsString::from("PATH=");
    programs.push(path);
    let question = ["dpkg-query", "-W", "-f=${db:Status-Status}\n", "--", package].map(OsString::from);
    let arguments: Vec<OsString> = [programs].into_iter().chain(question).collect();
    let said = process::run("env", &arguments, QUESTION).because(Reason::HostPackageMissing)?;
    Ok(said.success && said.output.lines().any(|line| line == "installed"))
}
