//! Every artefact of the plan into the content store, verified while it streams.
//! May not touch the disk or the network itself: `anymetal_supply` does.

mod blob;
mod bundle;
#[cfg(test)]
mod bundle_tests;
mod course;
pub(crate) mod document;
#[cfg(test)]
mod misbehaving;
mod said;
mod supply;
#[cfg(test)]
pub(crate) mod tests;

use anymetal_contract::Reason;
use anymetal_contract::plan::{Artefact, Component, Source};

use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::http::Limits;
use anymetal_supply::origin::Missed;
use anymetal_supply::stock;
use anymetal_supply::transfer::Got;

use crate::packages;
use crate::phase::{Answer, Steps};
use crate::world::World;
use blob::{Blob, Kind};
use course::Course;
use supply::Supplies;

/// Transfers under way at a time: enough to fill a link when one origin is slow, few enough not to be taken for an attack.
const AT_ONCE: usize = 4;

/// Makes sure that every artefact this machine needs is in the store, and every pinned package it does not have installed.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    acquire(world, steps, Limits::TRANSFER)
}

/// As [`work`], with other limits on time.
fn acquire(world: &World, steps: &dyn Steps, limits: Limits) -> Result<Answer, Failure> {
    let (artefacts, listed) = (blob::artefacts(world)?, packages::listed(world)?);
    if artefacts.is_empty() && listed.is_none() {
        return Ok(Answer::Same("this plan has no artefacts".into()));
    }
    let store = world.store()?;
    let supplies = Supplies::of(world, &store, steps, limits);
    // The list first: it says what else there is to come.
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    if let Some(listed) = listed {
        let list = all(&[blob::list(listed)], &supplies, steps);
        if list.iter().all(|(_, result)| result.is_ok()) {
            let list = packages::read(world, &store, listed)?;
            missing = packages::missing(&list, &world.dpkg()).because(Reason::HostFault)?;
        }
        results.extend(list);
    }
    let blobs: Vec<Blob> = artefacts.into_iter().chain(missing.iter().map(blob::package)).collect();
    stock::require_room(&store, blobs.iter().map(|blob| (blob.sha256, blob.size)))?;
    results.extend(all(&blobs, &supplies, steps));
    said::sum_up(results.into_iter())
}

/// Gets each of them, some at a time. The results come in the blobs' order.
fn all(blobs: &[Blob], supplies: &Supplies, steps: &dyn Steps) -> Vec<(Kind, Result<Got, Missed>)> {
    let course = Course::new(supplies, blobs);
    let mut got: Vec<(usize, Result<Got, Missed>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            while let Some((place, result)) = course.next() {
                said::tell(&blobs[place], &result, steps);
                mine.push((place, result));
            }
            mine
        };
        let workers: Vec<_> = (0..AT_ONCE.min(blobs.len())).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a transfer does not panic")).collect()
    });
    got.sort_by_key(|(place, _)| *place);
    got.into_iter().map(|(place, result)| (blobs[place].kind, result)).collect()
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
