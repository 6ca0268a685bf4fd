//! What is wrong with a version, and which sets of versions cannot work together.
//! May not hold a fact of any component: those are data, `templates/<component>/component.yaml`.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::plan::Arch;

use super::diagnostic::{Complaint, Severity, quoted};
use crate::component::{self, Component, Source, Version};

/// One component of a site, for judging the set.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Its version.
    pub version: Version,
    /// Whether the site names it; otherwise it is the default.
    pub named: bool,
    /// Architectures for which the site brings an archive of its own.
    pub own: BTreeSet<Arch>,
    /// Whether the site says itself which packages it needs.
    pub packages: bool,
}

/// Something wrong with the set.
#[derive(Debug, PartialEq, Eq)]
pub struct Clash {
    /// The components it is about, the one to blame first.
    pub between: Vec<&'static str>,
    /// Whether it can work at all.
    pub severity: Severity,
    /// What and what to do.
    pub complaint: Complaint,
}

/// Reads a version: three numbers, nothing else.
pub fn version(text: &str) -> Result<Version, Complaint> {
    let what = || format!("{} is not a version", quoted(text));
    let bare = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let whole = |text: &str| text.parse::<Version>().ok();
    let hint = match (whole(bare), whole(&format!("{bare}.0"))) {
        (Some(version), _) if bare == text => return Ok(version),
        (Some(version), _) => format!("write `{version}`, without the letter"),
        (_, Some(version)) => format!("write all three numbers, as in `{version}`"),
        _ if text.contains(['<', '>', '=', '^', '~', '*', ',', ' ', '|'])
            || text.split('.').any(|part| part == "x")
            || text == "latest" =>
        {
            "write one version, not a range: a site names exactly what runs".to_owned()
        }
        _ if text.contains('+') => "write the open edition's version, without `+…`".to_owned(),
        _ if text.contains('-') => "write a release, without `-…`".to_owned(),
        _ => "write three numbers, as in `1.21.5`".to_owned(),
    };
    Err(Complaint::new(what(), hint))
}

/// What is wrong with one component alone.
pub fn alone(known: &Component, version: Version) -> Option<Complaint> {
    let Component { name, default, lowest, .. } = known;
    if version < lowest.version {
        let hint = format!("write `{name}: {default}` or at least {}", lowest.version);
        return Some(Complaint::new(format!("{name} {version} is too old: {}", lowest.why), hint));
    }
    let barred = known.barred.iter().find(|barred| barred.versions.holds(version))?;
    Some(Complaint::new(format!("{name} {version} cannot be used: {}", barred.why), barred.hint.as_str()))
}

/// Everything that is wrong with the set as a whole, in a fixed order. What is wrong with one alone is not said again.
pub fn clashes(set: &BTreeMap<&'static str, Chosen>, architectures: &BTreeSet<Arch>, os: &str) -> Vec<Clash> {
    let there = || component::by_name().filter_map(|known| Some((known, set.get(known.name.as_str())?)));
    let pairs = there().flat_map(|(known, chosen)| between(known, chosen, set));
    let builds = there().flat_map(|(known, chosen)| unbuilt(known, chosen, architectures));
    let hosts = there().filter_map(|(known, chosen)| host_package_of_the_os(known, chosen, os));
    let packages = there().flat_map(|(known, chosen)| packages_of_the_os(known, chosen, os));
    pairs.chain(builds).chain(hosts).chain(packages).collect()
}

/// What a component cannot work with.
fn between(known: &'static Component, chosen: &Chosen, set: &BTreeMap<&'static str, Chosen>) -> Vec<Clash> {
    let title = |name: &str, chosen: &Chosen| {
        format!("{name} {}{}", chosen.version, if chosen.named { "" } else { " (the default)" })
    };
    let mut found = Vec::new();
    for clash in known.clashes.iter().filter(|clash| clash.versions.holds(chosen.version)) {
        for (name, versions) in &clash.with {
            let Some(other) = set.get(name.as_str()).filter(|other| versions.holds(other.version)) else { continue };
            let (left, right) = (title(&known.name, chosen), title(name, other));
            let what = format!("{left} cannot work with {right}: {}", clash.why);
            found.push(Clash {
                between: vec![&known.name, name],
                severity: Severity::Mistake,
                complaint: Complaint::new(what, clash.hint.as_str()),
            });
        }
    }
    found
}

/// Architectures that upstream did not build this version for, as far as is known.
fn unbuilt(known: &'static Component, chosen: &Chosen, architectures: &BTreeSet<Arch>) -> Vec<Clash> {
    let Source::Artefacts(artefacts) = &known.source else { return Vec::new() };
    let (name, version) = (&known.name, chosen.version);
    let wanted = artefacts.architectures.iter().filter(|(arch, _)| architectures.contains(arch));
    let lacking = wanted.filter(|(arch, known)| version < known.since && !chosen.own.contains(arch));
    let clash = |(arch, known): (&Arch, &component::Known)| {
        let (severity, what) = if version <= known.absent {
            (Severity::Mistake, format!("there is no {name} {version} for {arch}"))
        } else {
            (Severity::Warning, format!("it is not known whether there is a {name} {version} for {arch}"))
        };
        let hint = format!(
            "write `{name}: {}`, leave {arch} out of `architectures`, or give an archive of your own in `components.{name}.artefacts`",
            known.since
        );
        Clash { between: vec![name], severity, complaint: Complaint::new(what, hint) }
    };
    lacking.map(clash).collect()
}

/// A lowest version that the distribution's package does not reach.
fn host_package_of_the_os(known: &'static Component, chosen: &Chosen, os: &str) -> Option<Clash> {
    let Source::HostPackage(host) = &known.source else { return None };
    let packaged = host.os.get(os).filter(|packaged| chosen.version > **packaged)?;
    let what = format!("{os} has {} {packaged}, which is older than {}", known.name, chosen.version);
    let hint = format!("let `cloud_config` install a newer {}, or ask for less", host.package.package);
    Some(Clash { between: vec![&known.name], severity: Severity::Warning, complaint: Complaint::new(what, hint) })
}

/// Packages that upstream's build needs and the distribution does not have.
/// Said only to who names the component: whoever takes the default has nothing to mend yet, as its archive has to be pinned first.
fn packages_of_the_os(known: &'static Component, chosen: &Chosen, os: &str) -> Vec<Clash> {
    if !chosen.named || chosen.packages {
        return Vec::new();
    }
    let (name, version) = (&known.name, chosen.version);
    let clash = |(_, why): (&str, &str)| {
        let what = format!("upstream's {name} {version} is {why}, which {os} does not have");
        let hint = format!(
            "give a build of your own in `components.{name}.artefacts`, and the packages it needs in `components.{name}.packages`: \
             `[]` when it needs none"
        );
        Clash { between: vec![name], severity: Severity::Warning, complaint: Complaint::new(what, hint) }
    };
    known.missing(version, os).map(clash).collect()
}

#[cfg(test)]
mod tests;
