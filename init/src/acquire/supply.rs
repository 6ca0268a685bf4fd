//! Where a blob is asked for, one supply after the other, in the order the plan gives.
//! May not say which blobs are wanted, nor touch the network itself: `anymetal_supply` does.

use std::collections::BTreeSet;

use anymetal_contract::plan::Supply;
use anymetal_contract::{Outcome, Reason, Unit, place};

use super::blob::Blob;
use super::bundle::{self, Near};
use crate::phase::Steps;
use crate::world::World;
use anymetal_supply::failure::Failure;
use anymetal_supply::http::Limits;
use anymetal_supply::origin::{self, Missed};
use anymetal_supply::store::Store;
use anymetal_supply::transfer::{self, Clients, Got, Wanted, Watch};

/// Everything a blob can come from.
pub(super) struct Supplies<'a> {
    world: &'a World,
    store: &'a Store,
    steps: &'a dyn Steps,
    clients: Clients,
    bundle: Option<Near>,
    order: Vec<Ask>,
}

/// One thing that is asked, and then the next.
#[derive(Debug, PartialEq, Eq)]
enum Ask {
    Bundle,
    /// URLs of these supplies, as one list.
    Web(Vec<Supply>),
}

impl<'a> Supplies<'a> {
    pub(super) fn of(world: &'a World, store: &'a Store, steps: &'a dyn Steps, limits: Limits) -> Self {
        let order = asks(&world.plan().supplies);
        let bundle = if order.contains(&Ask::Bundle) { bundle::find(world, steps) } else { None };
        Self { world, store, steps, clients: Clients::new(limits), bundle, order }
    }

    /// Makes sure that the blob is in the store.
    pub(super) fn get(&self, blob: &Blob) -> Result<Got, Missed> {
        let watch = Told(self.steps);
        if transfer::is_kept(self.store, &wanted(blob), &watch).map_err(Missed::Never)? {
            return Ok(Got::Same);
        }
        let mut missed = Vec::new();
        for ask in &self.order {
            let ended = match ask {
                Ask::Bundle => self.bundle.as_ref().and_then(|near| near.give(self.store, blob, &watch)),
                Ask::Web(supplies) => self.fetch(supplies, blob, &watch),
            };
            match ended {
                None => {}
                Some(Err(miss)) if is_theirs(&miss) => {
                    if let (Ask::Bundle, Missed::Never(failure)) = (ask, &miss) {
                        self.steps.step(blob.name, Outcome::Progress, &failure.chain());
                    }
                    missed.push(miss);
                }
                Some(ended) => return ended,
            }
        }
        Err(together(missed).unwrap_or_else(|| self.nowhere(blob)))
    }

    /// From the web; `None` when there is nobody to ask.
    fn fetch(&self, supplies: &[Supply], blob: &Blob, watch: &Told) -> Option<Result<Got, Missed>> {
        let wanted = Wanted { candidates: self.candidates(supplies, blob), ..wanted(blob) };
        if wanted.candidates.is_empty() {
            return None;
        }
        Some(transfer::fetch(self.store, &self.clients, &wanted, watch))
    }

    /// Nobody could be asked for it. A bundle may still be brought, where one is asked.
    fn nowhere(&self, blob: &Blob) -> Missed {
        let Blob { title, sha256, .. } = blob;
        if !self.order.contains(&Ask::Bundle) {
            return origin::judge(title, sha256, &[]);
        }
        let bundle = match &self.bundle {
            Some(near) => format!("{} does not have it", near.name()),
            None => format!("there is no bundle {}, nor {} on a volume", place::BUNDLE, place::MEDIUM_BUNDLE),
        };
        let message =
            format!("the plan names no origin and no URL for {title} (sha256 {}…), and {bundle}", sha256.short());
        Missed::NotYet { reason: Reason::ArtefactUnreachable, message, settled: false }
    }

    fn candidates(&self, supplies: &[Supply], blob: &Blob) -> Vec<origin::Candidate> {
        let mut all: Vec<origin::Candidate> = Vec::new();
        for supply in supplies {
            let origins = self.world.overrides.origin.iter().chain(&self.world.plan().origins).map(String::as_str);
            let more = match supply {
                Supply::Origins => origin::candidates(origins, blob.sha256, &[]),
                Supply::Upstream => origin::candidates([].into_iter(), blob.sha256, blob.urls),
                Supply::Bundle => Vec::new(),
            };
            all.extend(more);
        }
        let mut seen = BTreeSet::new();
        all.retain(|candidate| seen.insert(candidate.url.clone()));
        all
    }
}

/// The order as runs of what can be asked in one go; nothing stands in it twice.
fn asks(named: &[Supply]) -> Vec<Ask> {
    let order: &[Supply] = if named.is_empty() { &Supply::ALL } else { named };
    let mut asks: Vec<Ask> = Vec::new();
    for (place, supply) in order.iter().enumerate() {
        if order[..place].contains(supply) {
            continue;
        }
        match (supply, asks.last_mut()) {
            (Supply::Bundle, _) => asks.push(Ask::Bundle),
            (Supply::Origins | Supply::Upstream, Some(Ask::Web(run))) => run.push(*supply),
            (Supply::Origins | Supply::Upstream, _) => asks.push(Ask::Web(vec![*supply])),
        }
    }
    asks
}

/// The blob as a transfer wants it, with nowhere to ask yet.
pub(super) fn wanted<'a>(blob: &'a Blob) -> Wanted<'a> {
    let Blob { name, title, sha256, size, .. } = blob;
    Wanted { name, title: title.clone(), sha256, size: *size, candidates: Vec::new() }
}

/// Whether somebody else may still have it: what is wrong is with whom was asked, and not with this machine.
fn is_theirs(missed: &Missed) -> bool {
    match missed {
        Missed::NotYet { .. } => true,
        Missed::Never(failure) => matches!(failure.reason, Reason::ArtefactMismatch | Reason::ArtefactUnreachable),
    }
}

/// What all of them have said, if anybody has: final when each one's word is.
fn together(mut missed: Vec<Missed>) -> Option<Missed> {
    if missed.len() < 2 {
        return missed.pop();
    }
    let never = missed.iter().all(|missed| matches!(missed, Missed::Never(_)));
    let settled = missed.iter().all(|missed| !matches!(missed, Missed::NotYet { settled: false, .. }));
    let said: Vec<_> = missed
        .into_iter()
        .map(|missed| match missed {
            Missed::Never(failure) => (failure.reason, failure.chain()),
            Missed::NotYet { reason, message, .. } => (reason, message),
        })
        .collect();
    let wrong = said.iter().any(|(reason, _)| *reason == Reason::ArtefactMismatch);
    let reason = if wrong { Reason::ArtefactMismatch } else { Reason::ArtefactUnreachable };
    let message = said.into_iter().map(|(_, words)| words).collect::<Vec<_>>().join("; ");
    if never {
        return Some(Missed::Never(Failure::new(reason, message)));
    }
    Some(Missed::NotYet { reason, message, settled })
}

/// A transfer's words, as the phase says them.
pub(super) struct Told<'a>(&'a dyn Steps);

impl Watch for Told<'_> {
    fn word(&self, name: &str, message: &str) {
        self.0.step(name, Outcome::Progress, message);
    }

    fn progress(&self, name: &str, done: u64, total: Option<u64>) {
        self.0.progress(name, done, total, Unit::Bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_plans_nothing_twice_and_what_is_nearest_first_when_it_says_nothing() {
        use Supply::{Bundle, Origins, Upstream};
        for (named, order) in [
            (vec![], vec![Ask::Bundle, Ask::Web(vec![Origins, Upstream])]),
            (vec![Upstream, Origins, Upstream], vec![Ask::Web(vec![Upstream, Origins])]),
            (
                vec![Origins, Bundle, Upstream, Bundle],
                vec![Ask::Web(vec![Origins]), Ask::Bundle, Ask::Web(vec![Upstream])],
            ),
        ] {
            assert_eq!(asks(&named), order, "{named:?}");
        }
    }
}
