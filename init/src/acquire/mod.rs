//! Every artefact of the plan into the content store, verified while it streams.
//! May not touch the disk or the network itself: `anymetal_supply` does.

#[cfg(test)]
mod misbehaving;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use anymetal_contract::plan::{Artefact, Component, Source};
use anymetal_contract::{Outcome, Reason, Unit, place};

use anymetal_supply::amount::Amount;
use anymetal_supply::origin::{self, Missed};
use anymetal_supply::transfer::{self, Clients, Got, Wanted, Watch};

use crate::phase::{Answer, Steps};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::http::Limits;
use anymetal_supply::stock;
use anymetal_supply::store::Store;

/// Transfers under way at a time: enough to fill a link when one origin is slow, few enough not to be taken for an attack.
const AT_ONCE: usize = 4;

/// A transfer's words, as the phase says them.
struct Told<'a>(&'a dyn Steps);

impl Watch for Told<'_> {
    fn word(&self, name: &str, message: &str) {
        self.0.step(name, Outcome::Progress, message);
    }

    fn progress(&self, name: &str, done: u64, total: Option<u64>) {
        self.0.progress(name, done, total, Unit::Bytes);
    }
}

/// Makes sure that every artefact this machine needs is in the store.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    acquire(world, steps, Limits::TRANSFER)
}

/// As [`work`], with other limits on time.
fn acquire(world: &World, steps: &dyn Steps, limits: Limits) -> Result<Answer, Failure> {
    let wanted = wanted(world)?;
    if wanted.is_empty() {
        return Ok(Answer::Same("this plan has no artefacts".into()));
    }
    let store = Store::open(world.at(place::STORE)).because(Reason::HostFault)?;
    stock::require_room(&store, &wanted)?;
    let clients = Clients::new(limits);
    let next = AtomicUsize::new(0);
    let mut got: Vec<(usize, Result<Got, Missed>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(wanted) = wanted.get(place) else { return mine };
                let result = transfer::fetch(&store, &clients, wanted, &Told(steps));
                tell(wanted, &result, steps);
                mine.push((place, result));
            }
        };
        let workers: Vec<_> = (0..AT_ONCE.min(wanted.len())).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a transfer does not panic")).collect()
    });
    got.sort_by_key(|(place, _)| *place);
    sum_up(got.into_iter().map(|(_, result)| result))
}

/// The artefact of a component for this machine; `None` when the component has none for any machine.
pub(crate) fn artefact<'a>(world: &World, component: &'a Component) -> Result<Option<&'a Artefact>, Failure> {
    let Source::Artefacts(by_arch) = &component.source else { return Ok(None) };
    by_arch.get(&world.arch).map(Some).ok_or_else(|| {
        let others: Vec<_> = by_arch.keys().map(ToString::to_string).collect();
        let others = if others.is_empty() { "none at all".to_owned() } else { others.join(", ") };
        let Component { name, version, .. } = component;
        let message = format!("the plan has no artefact of {name} {version} for {}; it has {others}", world.arch);
        Failure::new(Reason::NoArtefact, message)
    })
}

/// What is needed, each digest once.
fn wanted(world: &World) -> Result<Vec<Wanted<'_>>, Failure> {
    let plan = world.plan();
    let origins = || world.overrides.origin.iter().chain(&plan.origins).map(String::as_str);
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for component in &plan.components {
        let Some(artefact) = artefact(world, component)? else { continue };
        if seen.insert(&artefact.sha256) {
            all.push(Wanted {
                name: &component.name,
                title: format!("{} {}", component.name, component.version),
                sha256: &artefact.sha256,
                size: artefact.size,
                candidates: origin::candidates(origins(), &artefact.sha256, &artefact.urls),
            });
        }
    }
    Ok(all)
}

fn tell(wanted: &Wanted, result: &Result<Got, Missed>, steps: &dyn Steps) {
    match result {
        Ok(Got::Same) => {
            steps.step(wanted.name, Outcome::Same, &format!("{} is in the store already", wanted.title));
        }
        Ok(Got::Fetched { bytes, base }) => {
            let message = format!("{}, {} from {base}", wanted.title, Amount(*bytes));
            steps.step(wanted.name, Outcome::Done, &message);
        }
        Err(Missed::NotYet { message, .. }) => steps.step(wanted.name, Outcome::Waiting, message),
        Err(Missed::Never(failure)) => steps.step(wanted.name, Outcome::Failed, &failure.chain()),
    }
}

/// One answer from all: a failure if there is one, else a wait if there is one.
fn sum_up(results: impl Iterator<Item = Result<Got, Missed>>) -> Result<Answer, Failure> {
    let (mut failed, mut waiting) = (Vec::new(), Vec::new());
    let (mut count, mut bytes, mut bases) = (0, 0, Vec::new());
    for result in results {
        match result {
            Ok(Got::Same) => {}
            Ok(Got::Fetched { bytes: more, base }) => {
                count += 1;
                bytes += more;
                if !bases.contains(&base) {
                    bases.push(base);
                }
            }
            Err(Missed::Never(failure)) => failed.push(failure),
            Err(Missed::NotYet { reason, message, .. }) => waiting.push((reason, message)),
        }
    }
    if failed.len() == 1 {
        return Err(failed.remove(0));
    }
    if let Some(first) = failed.first() {
        let reason = first.reason;
        let all: Vec<_> = failed.iter().map(Failure::chain).collect();
        return Err(Failure::new(reason, all.join("; ")));
    }
    if let Some((reason, _)) = waiting.first() {
        let all: Vec<_> = waiting.iter().map(|(_, message)| message.as_str()).collect();
        return Ok(Answer::waiting(*reason, all.join("; ")));
    }
    if count == 0 {
        return Ok(Answer::Same("all artefacts already in the store".into()));
    }
    let noun = if count == 1 { "artefact" } else { "artefacts" };
    Ok(Answer::Done(format!("{count} {noun}, {} from {}", Amount(bytes), bases.join(" and "))))
}
