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

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anymetal_contract::plan::{Artefact, Component, Source};
use anymetal_contract::{Digest, Reason};

use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::http::Limits;
use anymetal_supply::origin::Missed;
use anymetal_supply::stock;
use anymetal_supply::transfer::Got;

use crate::packages;
use crate::phase::{Answer, Steps};
use crate::sys::clock;
use crate::world::World;
use blob::{Blob, Kind};
use course::Course;
use supply::Supplies;

/// Transfers under way at a time: enough to fill a link when one origin is slow, few enough not to be taken for an attack.
const AT_ONCE: usize = 4;

/// Makes sure that every artefact this machine needs is in the store, and every pinned package it does not have installed.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    acquire(world, steps, Times::NODE)
}

/// How patient this phase is.
#[derive(Debug, Clone, Copy)]
struct Times {
    limits: Limits,
    /// See [`anymetal_supply::transfer::Pace::beside`].
    beside: Duration,
    /// What a round has that begins at the phase's deadline. Less than the runner's grace.
    last: Duration,
    /// Wrong bytes from every place are final after so many rounds, and so long: a portal, a mirror in the middle of an update and one reply from
    /// somebody on the path pass.
    rounds: u32,
    wrong: Duration,
}

impl Times {
    /// What a node uses.
    const NODE: Self = Self {
        limits: Limits::TRANSFER,
        beside: Duration::from_secs(5),
        last: Duration::from_secs(15),
        rounds: 5,
        wrong: Duration::from_mins(3),
    };
}

/// What this run has seen so far; the phase is called again while it waits.
#[derive(Debug, Default)]
pub(crate) struct Doings {
    /// Blobs of which every place has given something else: since when, and in how many rounds.
    wrong: BTreeMap<Digest, (Instant, u32)>,
}

impl Doings {
    /// One more round has brought wrong bytes from every place. Says whether that is final.
    fn is_final(&mut self, now: Instant, digest: &Digest, times: Times) -> bool {
        let (since, rounds) = self.wrong.entry(digest.clone()).or_insert((now, 0));
        *rounds += 1;
        *rounds >= times.rounds && now.saturating_duration_since(*since) >= times.wrong
    }
}

/// As [`work`], with other times.
fn acquire(world: &World, steps: &dyn Steps, times: Times) -> Result<Answer, Failure> {
    let (artefacts, listed) = (blob::artefacts(world)?, packages::listed(world)?);
    if artefacts.is_empty() && listed.is_none() {
        return Ok(Answer::Same("this plan has no artefacts".into()));
    }
    let store = world.store()?;
    let supplies = Supplies::of(world, &store, steps, times);
    // The list first: it says what else there is to come.
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    if let Some(listed) = listed {
        let list = all(world, &[blob::list(listed)], &supplies, steps, times);
        if list.iter().all(|(_, result)| result.is_ok()) {
            let list = packages::read(world, &store, listed)?;
            missing = packages::missing(&list, &world.dpkg()).because(Reason::HostFault)?;
        }
        results.extend(list);
    }
    let blobs: Vec<Blob> = artefacts.into_iter().chain(missing.iter().map(blob::package)).collect();
    stock::require_room(&store, blobs.iter().map(|blob| (blob.sha256, blob.size)))?;
    results.extend(all(world, &blobs, &supplies, steps, times));
    let came = results.iter().all(|(_, result)| result.is_ok());
    let answer = said::sum_up(results.into_iter())?;
    if came {
        // What a run for another plan was cut off at is of no use to this one, and nobody else removes it.
        for digest in store.parts() {
            store.sweep(&digest).because(Reason::HostFault)?;
        }
    }
    Ok(answer)
}

/// Gets each of them, some at a time. The results come in the blobs' order.
fn all(
    world: &World,
    blobs: &[Blob],
    supplies: &Supplies,
    steps: &dyn Steps,
    times: Times,
) -> Vec<(Kind, Result<Got, Missed>)> {
    supplies.expect(blobs.len());
    let course = Course::new(supplies, blobs);
    let mut got: Vec<(usize, Result<Got, Missed>)> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = Vec::new();
            while let Some((place, result)) = course.next() {
                supplies.settled();
                let result = result.map_err(|missed| judged(world, &blobs[place], missed, times));
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

/// What it means that a blob has not come. That every place gave something else is final only when it has been so for long enough.
fn judged(world: &World, blob: &Blob, missed: Missed, times: Times) -> Missed {
    let mut doings = world.acquire.lock().unwrap_or_else(PoisonError::into_inner);
    match missed {
        Missed::Never(failure) if failure.reason == Reason::ArtefactMismatch => {
            if doings.is_final(clock::monotonic(), blob.sha256, times) {
                return Missed::Never(failure);
            }
            Missed::NotYet { reason: failure.reason, message: failure.chain(), settled: true }
        }
        other => {
            doings.wrong.remove(blob.sha256);
            other
        }
    }
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
