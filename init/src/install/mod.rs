//! Archives from the content store to `/opt/anymetal/<component>/<version>`, and the host's own programs.
//! May not touch the disk itself: `sys::tree` does. Never looks into an archive but through `anymetal_archive`.

mod account;
mod apt;
mod host;
#[cfg(test)]
mod not_yet;
mod packages;
mod pinned;
mod record;
mod switch;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::path::{Component as Part, Path, PathBuf};
use std::sync::PoisonError;

use anyhow::Context as _;
use anymetal_archive::Sink;
use anymetal_contract::plan::{Artefact, Component, Member, Source};
use anymetal_contract::{Outcome, Phase, Reason, place};

use packages::Became;
use record::Record;
pub(crate) use switch::{Prepared, soon, switch};

use crate::acquire;
use crate::phase::{Answer, Steps};
use crate::sys::process;
use crate::sys::tree::{self, Staging};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::pump::{BUFFER, Copying};
use anymetal_supply::store::Store;

/// Makes sure that every component is on the disk, whole, and that the host has the programs it must have. Where files depend on them, nothing is
/// put into use: `files` does it, once they are good, so that a plan that does not fit this node changes nothing of what runs.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    install(world, steps, &process::search_path())
}

/// As [`work`], with the host's programs looked up elsewhere.
pub(crate) fn install(world: &World, steps: &dyn Steps, path: &OsStr) -> Result<Answer, Failure> {
    let components = &world.plan().components;
    if components.is_empty() && world.plan().packages.is_empty() {
        return Ok(Answer::Same("this plan has no components".into()));
    }
    let mut wanted = Vec::new();
    for component in components {
        let artefact = acquire::artefact(world, component)?;
        if let Some(artefact) = artefact {
            check_places(component, artefact)?;
        }
        wanted.push((component, artefact));
    }
    // What the host brings first: all that is missing is said at once, and nothing is unpacked in vain.
    let (mut words, mut changed) = match packages::ensure(world, steps, path)? {
        Became::Same if world.plan().packages.is_empty() => (Vec::new(), false),
        Became::Same => (vec!["packages in place".to_owned()], false),
        Became::Changed => (vec!["packages installed".to_owned()], true),
        Became::Waits(why) => return Ok(Answer::waiting(Reason::HostPackageMissing, why)),
    };
    let mut prepared = Vec::new();
    let hosts = hosts(components, steps, path)?;
    let mut hosts = hosts.into_iter();
    for (component, artefact) in wanted {
        let title = format!("{} {}", component.name, component.version);
        if let Some(user) = &component.user
            && account::ensure(world, user)?
        {
            changed = true;
            steps.step(&component.name, Outcome::Progress, &format!("the user {user} and its home were made"));
        }
        let Some(artefact) = artefact else {
            words.extend(hosts.next());
            continue;
        };
        let (how, one) = match put(world, component, artefact, steps).map_err(|failure| about(&title, failure)) {
            Ok(done) => done,
            Err(failure) => {
                steps.step(&component.name, Outcome::Failed, &failure.chain());
                return Err(failure);
            }
        };
        let (outcome, sentence) = match how {
            None => (Outcome::Same, format!("{title} in place")),
            Some(how) => (Outcome::Done, format!("{title} {how}")),
        };
        steps.step(&component.name, outcome, &sentence);
        changed |= how.is_some();
        prepared.push(one);
        words.push(sentence);
    }
    *world.prepared.lock().unwrap_or_else(PoisonError::into_inner) = prepared;
    if !world.plan().phases.contains(&Phase::Files) {
        switch(world, steps)?;
    }
    let message = words.join("; ");
    Ok(if changed { Answer::Done(message) } else { Answer::Same(message) })
}

/// One sentence for each program of the host, in order; or all that is missing.
fn hosts(components: &[Component], steps: &dyn Steps, path: &OsStr) -> Result<Vec<String>, Failure> {
    let (mut words, mut missing) = (Vec::new(), Vec::new());
    for component in components {
        let Source::HostPackage(package) = &component.source else { continue };
        match host::check(component, package, path) {
            Ok(version) => {
                let word = format!("{} {version} from {}", component.name, package.package);
                steps.step(&component.name, Outcome::Same, &word);
                words.push(word);
            }
            Err(failure) => {
                steps.step(&component.name, Outcome::Failed, &failure.chain());
                missing.push(failure);
            }
        }
    }
    match missing.len() {
        0 => Ok(words),
        1 => Err(missing.remove(0)),
        _ => {
            let all: Vec<_> = missing.iter().map(Failure::chain).collect();
            Err(Failure::new(Reason::HostPackageMissing, all.join("; ")))
        }
    }
}

/// One component on the disk. What was done, `None` when all was so already, and what is to be put into use.
fn put(
    world: &World,
    component: &Component,
    artefact: &Artefact,
    steps: &dyn Steps,
) -> Result<(Option<&'static str>, Prepared), Failure> {
    let home = world.at(Path::new(place::OPT).join(&component.name));
    let dir = home.join(&component.version);
    let (component_name, version) = (component.name.clone(), component.version.clone());
    let mut one = Prepared { component: component_name, version, fresh: false, staging: None };
    if let Err(why) = record::check(&dir, artefact).because(Reason::HostFault)? {
        if let Some(why) = why {
            let message = format!("{} {} is installed anew: {why}", component.name, component.version);
            steps.step(&component.name, Outcome::Progress, &message);
        }
        let staging = unpack_into(world, &home, component, artefact)?;
        one.fresh = true;
        if staging.replaces() {
            one.staging = Some(staging);
        } else {
            staging.finish().because(Reason::HostFault)?;
        }
        return Ok((Some("installed"), one));
    }
    let is_current = tree::current(&home).is_some_and(|version| version == Path::new(&component.version));
    let how = if world.plan().phases.contains(&Phase::Files) { "in place, soon current" } else { "made current" };
    Ok(((!is_current).then_some(how), one))
}

fn unpack_into(world: &World, home: &Path, component: &Component, artefact: &Artefact) -> Result<Staging, Failure> {
    let store = Store::open(world.at(place::STORE)).because(Reason::HostFault)?;
    let archive = store.read(&artefact.sha256).because(Reason::HostFault)?;
    let staging = Staging::begin(home, &component.version, artefact.sha256.short()).because(Reason::HostFault)?;
    let mut writing = Writing { staging: &staging, record: Record::of(artefact) };
    anymetal_archive::unpack(
        BufReader::with_capacity(BUFFER, archive),
        artefact.format,
        &artefact.members,
        &mut writing,
    )?;
    let text = writing.record.text();
    staging.file(record::NAME, 0o644, &mut text.as_bytes()).map_err(copying)?;
    Ok(staging)
}

/// The sink of an archive's members: files of a version that is being made.
struct Writing<'a> {
    staging: &'a Staging,
    record: Record,
}

impl Sink for Writing<'_> {
    fn file(&mut self, member: &Member, from: &mut dyn Read) -> Result<(), Failure> {
        let digest = self.staging.file(&member.file, record::mode(member.executable), from).map_err(copying)?;
        self.record.add(member, digest);
        Ok(())
    }
}

fn copying(failed: Copying) -> Failure {
    match failed {
        Copying::Reading(error) => anymetal_archive::unreadable(&error),
        Copying::Writing(error) => Err::<(), _>(error).because(Reason::HostFault).expect_err("it is an error"),
    }
}

/// The plan's names as paths: nothing in them may lead out of the component's folder, or onto what is ours there.
fn check_places(component: &Component, artefact: &Artefact) -> Result<(), Failure> {
    let beyond = |what: &str, name: &str| {
        let message = format!("the plan's {what} {name:?} of {} cannot be a path below {}", component.name, place::OPT);
        Err(Failure::new(Reason::PlanBeyondInit, message))
    };
    let plain = |name: &str| {
        let parts: Vec<_> = Path::new(name).components().collect();
        let normal =
            !parts.is_empty() && parts.iter().all(|part| matches!(part, Part::Normal(_))) && !name.contains('\0');
        // Rebuilt from its parts it must be the same text: no doubled or trailing slash, no `.` in between.
        normal && parts.iter().collect::<PathBuf>().as_os_str() == name
    };
    let single = |name: &str| plain(name) && !name.contains('/') && !name.starts_with('.') && name != tree::CURRENT;
    if !single(&component.name) {
        return beyond("name", &component.name);
    }
    if !single(&component.version) || component.version.contains(".new-") || component.version.contains(".old-") {
        return beyond("version", &component.version);
    }
    let (mut files, mut members) = (BTreeSet::new(), BTreeSet::new());
    for member in &artefact.members {
        let folder = anymetal_archive::is_folder(member);
        if !(plain(&member.file) || folder && member.file == ".")
            || member.file == record::NAME
            || !files.insert(&member.file)
        {
            return beyond("file", &member.file);
        }
        if !members.insert(&member.member) {
            return beyond("member", &member.member);
        }
    }
    Ok(())
}

/// Says which component a failure is about.
fn about(title: &str, failure: Failure) -> Failure {
    let error = Err::<(), _>(failure.error).with_context(|| format!("installing {title}")).expect_err("it is an error");
    Failure { reason: failure.reason, error }
}
