//! Where a blob is asked for, one supply after the other, in the order the plan gives.
//! May not say which blobs are wanted, nor touch the network itself: `anymetal_supply` does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anymetal_contract::plan::Supply;
use anymetal_contract::{Digest, Outcome, Phase, Reason, Unit, place};

use super::blob::Blob;
use super::bundle::{self, Near};
use super::{AT_ONCE, Times};
use crate::phase::Steps;
use crate::siblings::{Siblings, Turn};
use crate::sys::clock;
use crate::world::World;
use anymetal_supply::failure::Failure;
use anymetal_supply::http::{Limits, Outside};
use anymetal_supply::origin::{self, Missed, Said};
use anymetal_supply::store::Store;
use anymetal_supply::transfer::{self, Clients, Got, Pace, Wanted, Watch};

/// How long it is waited for the machine's place among its siblings to be known: what a platform takes to answer. Boots without siblings wait no
/// longer than this, once.
const UNKNOWN: Duration = Duration::from_millis(1500);

/// Everything a blob can come from.
pub(super) struct Supplies<'a> {
    world: &'a World,
    store: &'a Store,
    steps: &'a dyn Steps,
    clients: Clients,
    times: Times,
    /// Blobs that have not come yet.
    pending: AtomicUsize,
    bundle: Option<Near>,
    /// What is wrong with blobs of the bundle.
    damaged: Mutex<BTreeMap<Digest, String>>,
    began: Instant,
    order: Vec<Ask>,
}

/// Where a blob is got from, this time.
#[derive(Debug)]
pub(super) enum From {
    /// The store itself, and a bundle where the plan begins with it.
    Near,
    Siblings(Vec<Ipv4Addr>),
    /// Everybody else.
    Outside,
}

/// One thing that is asked, and then the next.
#[derive(Debug, PartialEq, Eq)]
enum Ask {
    Bundle,
    Siblings,
    /// URLs of these supplies, as one list.
    Web(Vec<Supply>),
}

impl<'a> Supplies<'a> {
    pub(super) fn of(world: &'a World, store: &'a Store, steps: &'a dyn Steps, times: Times) -> Self {
        let order = asks(&world.plan().supplies);
        let bundle = if order.contains(&Ask::Bundle) { bundle::find(world, steps) } else { None };
        let (clients, damaged, began) =
            (Clients::new(times.limits, &world.outside()), Mutex::default(), clock::monotonic());
        let pending = AtomicUsize::new(0);
        Self { world, store, steps, clients, times, pending, bundle, damaged, began, order }
    }

    /// So many blobs are to come from now on.
    pub(super) fn expect(&self, blobs: usize) {
        self.pending.store(blobs, Ordering::SeqCst);
    }

    /// One of them has, or will not for now.
    pub(super) fn settled(&self) {
        // Never below zero: one that is settled twice takes nobody else's time.
        let _nothing_pending =
            self.pending.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    }

    /// How long places may take for the next blob: an equal share of the phase's time for each turn of the workers.
    fn pace(&self) -> Pace {
        let now = clock::monotonic();
        // The last round, which begins when the time is over, has a moment of its own to hear what everybody says.
        let until = self.steps.deadline().map(|deadline| deadline.max(now + self.times.last));
        let turns = self.pending.load(Ordering::SeqCst).div_ceil(AT_ONCE).max(1);
        let turns = u32::try_from(turns).unwrap_or(u32::MAX);
        let due = until.map(|until| now + until.saturating_duration_since(now) / turns);
        Pace { beside: self.times.beside, due, until }
    }

    /// Whether nodes of the site share what they fetch: siblings come before the web in the plan's order.
    pub(super) fn shares(&self) -> bool {
        let at = |ask: &dyn Fn(&Ask) -> bool| self.order.iter().position(ask);
        let web = at(&|ask| matches!(ask, Ask::Web(_)));
        at(&|ask| *ask == Ask::Siblings).is_some_and(|siblings| web.is_none_or(|web| siblings < web))
    }

    /// This node among its siblings, when it is known to have a place there.
    pub(super) fn siblings(&self) -> Option<&'a Siblings> {
        self.world.siblings.get().and_then(Option::as_ref)
    }

    /// Whether that is not known yet, somebody is about to find out, and it is worth the wait.
    pub(super) fn may_be_known(&self) -> bool {
        self.world.siblings.get().is_none()
            && self.began.elapsed() < UNKNOWN
            && self.world.plan().phases.contains(&Phase::Metadata)
    }

    /// Makes sure that the blob is in the store, from there. `None` when it is not there, and somewhere else has to be tried.
    pub(super) fn get(&self, blob: &Blob, from: &From) -> Option<Result<Got, Missed>> {
        let watch = Told { steps: self.steps, blob, siblings: self.siblings(), missed: Mutex::default() };
        let got = match from {
            From::Near => match transfer::is_kept(self.store, &wanted(blob), &watch) {
                Ok(true) => Some(Ok(Got::Same)),
                // What comes after siblings or the web in the plan's order comes after them here.
                Ok(false) if self.order.first() == Some(&Ask::Bundle) => {
                    self.bundled(blob, &watch).filter(|given| !given.as_ref().is_err_and(is_theirs))
                }
                Ok(false) => None,
                Err(failure) => Some(Err(Missed::Never(failure))),
            },
            From::Siblings(them) => self.shared(them, blob, &watch),
            From::Outside => Some(self.elsewhere(blob, &watch)),
        };
        if let (Some(_), Some(siblings)) = (&got, watch.siblings) {
            siblings.forget(blob.sha256);
        }
        got
    }

    /// From everybody else, in order.
    fn elsewhere(&self, blob: &Blob, watch: &Told) -> Result<Got, Missed> {
        let mut missed = Vec::new();
        for ask in &self.order {
            let ended = match ask {
                Ask::Bundle => self.bundled(blob, watch),
                // Whoever has it has been asked, where they come first.
                Ask::Siblings if self.shares() => None,
                Ask::Siblings => self.at_last(blob, watch),
                Ask::Web(supplies) => self.fetch(supplies, blob, watch),
            };
            match ended {
                None => {}
                Some(Err(miss)) if is_theirs(&miss) => missed.push(miss),
                Some(ended) => return ended,
            }
        }
        Err(together(missed).unwrap_or_else(|| self.nowhere(blob)))
    }

    /// From the bundle; `None` when it has no such blob. What is wrong with its copy is said, and is not looked at twice.
    fn bundled(&self, blob: &Blob, watch: &Told) -> Option<Result<Got, Missed>> {
        let wrong = |message: String| Missed::Never(Failure::new(Reason::ArtefactMismatch, message));
        if let Some(known) = self.damaged().get(blob.sha256) {
            return Some(Err(wrong(known.clone())));
        }
        let given = self.bundle.as_ref()?.give(self.store, blob, watch)?;
        Some(given.map_err(|miss| match miss {
            Missed::Never(failure) if failure.reason == Reason::ArtefactMismatch => {
                let message = failure.chain();
                self.steps.step(blob.name, Outcome::Progress, &message);
                self.damaged().insert(blob.sha256.clone(), message.clone());
                wrong(message)
            }
            other => other,
        }))
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeMap<Digest, String>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From one of the siblings that say they have it, for so long: what comes of it decides who is next. `None` when it did not give it, which
    /// is held against it.
    fn shared(&self, them: &[Ipv4Addr], blob: &Blob, watch: &Told) -> Option<Result<Got, Missed>> {
        let (siblings, sibling) = (watch.siblings?, *them.first()?);
        let url = siblings.url(sibling, blob.sha256);
        let candidates = vec![origin::Candidate { url: url.clone(), base: format!("sibling {sibling}") }];
        // The web is asked beside one that gives too little, where the plan asks it after siblings.
        let reserve: Vec<_> = if self.shares() { self.web(blob) } else { Vec::new() };
        let alone = reserve.is_empty().then(|| Clients::new(within(blob.size), &Outside::default()));
        let clients = alone.as_ref().unwrap_or(&self.clients);
        let (began, pace) = (clock::monotonic(), self.pace());
        let ended = transfer::fetch(self.store, clients, &Wanted { candidates, reserve, ..wanted(blob) }, pace, watch);
        if let Some(said) = watch.missed.lock().unwrap_or_else(PoisonError::into_inner).remove(&url) {
            let lost = if ended.is_ok() { began.elapsed().min(self.times.beside) } else { began.elapsed() };
            self.hold_against(siblings, sibling, blob, &said, lost);
        }
        ended.map_or_else(|miss| (!is_theirs(&miss)).then_some(Err(miss)), |got| Some(Ok(got)))
    }

    /// A sibling did not give a blob, and took so long for that.
    fn hold_against(&self, siblings: &Siblings, sibling: Ipv4Addr, blob: &Blob, said: &Said, lost: Duration) {
        let again = siblings.strike(sibling, said.is_wrong(), blob.sha256);
        let end = if again { "" } else { "; it is not asked again" };
        let url = siblings.url(sibling, blob.sha256);
        self.steps.step(blob.name, Outcome::Progress, &format!("sibling {sibling}: {url} {said}{end}"));
        if siblings.lost(lost) {
            let words = "siblings have cost two minutes in vain; everything comes from elsewhere from now on";
            self.steps.step(blob.name, Outcome::Progress, words);
        }
    }

    /// All places of the web, as the plan orders them.
    fn web(&self, blob: &Blob) -> Vec<origin::Candidate> {
        let named =
            self.order.iter().filter_map(|ask| if let Ask::Web(supplies) = ask { Some(supplies) } else { None });
        let named: Vec<Supply> = named.flatten().copied().collect();
        self.candidates(&named, blob)
    }

    /// From siblings, when the plan asks them after others: whoever has it once there was time to say so.
    fn at_last(&self, blob: &Blob, watch: &Told) -> Option<Result<Got, Missed>> {
        let siblings = watch.siblings?;
        siblings.want(blob.sha256);
        loop {
            match siblings.turn(blob.sha256) {
                Turn::From(them) => match self.shared(&them, blob, watch) {
                    None => {}
                    got => return got,
                },
                Turn::Outside => return None,
                Turn::Wait => siblings.rest(),
            }
        }
    }

    /// From the web; `None` when there is nobody to ask.
    fn fetch(&self, supplies: &[Supply], blob: &Blob, watch: &Told) -> Option<Result<Got, Missed>> {
        let wanted = Wanted { candidates: self.candidates(supplies, blob), ..wanted(blob) };
        if wanted.candidates.is_empty() {
            return None;
        }
        Some(transfer::fetch(self.store, &self.clients, &wanted, self.pace(), watch))
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
                Supply::Bundle | Supply::Siblings => Vec::new(),
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
            (Supply::Siblings, _) => asks.push(Ask::Siblings),
            (Supply::Origins | Supply::Upstream, Some(Ask::Web(run))) => run.push(*supply),
            (Supply::Origins | Supply::Upstream, _) => asks.push(Ask::Web(vec![*supply])),
        }
    }
    asks
}

/// How long a sibling may take: a private network carries more than two megabytes a second, and one that gives less is of no use.
fn within(size: Option<u64>) -> Limits {
    let whole = Duration::from_secs(20 + size.unwrap_or(transfer::MOST) / 2_000_000);
    Limits { connect: Duration::from_secs(2), whole: Some(whole), silence: Duration::from_secs(5) }
}

/// The blob as a transfer wants it, with nowhere to ask yet.
pub(super) fn wanted<'a>(blob: &'a Blob) -> Wanted<'a> {
    let Blob { name, title, sha256, size, .. } = blob;
    Wanted { name, title: title.clone(), sha256, size: *size, candidates: Vec::new(), reserve: Vec::new() }
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
pub(super) struct Told<'a> {
    steps: &'a dyn Steps,
    blob: &'a Blob<'a>,
    siblings: Option<&'a Siblings>,
    /// What places said that did not give it, by their URLs.
    missed: Mutex<BTreeMap<String, Said>>,
}

impl Watch for Told<'_> {
    fn word(&self, name: &str, message: &str) {
        self.steps.step(name, Outcome::Progress, message);
    }

    fn progress(&self, name: &str, done: u64, total: Option<u64>) {
        if let Some(siblings) = self.siblings {
            siblings.came(self.blob.sha256, done);
        }
        self.steps.progress(name, done, total, Unit::Bytes);
    }

    fn missed(&self, place: &origin::Candidate, said: &Said) {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).insert(place.url.clone(), said.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_the_plans_nothing_twice_and_what_is_nearest_first_when_it_says_nothing() {
        use Supply::{Bundle, Origins, Siblings, Upstream};
        for (named, order) in [
            (vec![], vec![Ask::Bundle, Ask::Siblings, Ask::Web(vec![Origins, Upstream])]),
            (vec![Upstream, Origins, Upstream], vec![Ask::Web(vec![Upstream, Origins])]),
            (
                vec![Origins, Bundle, Upstream, Bundle, Siblings],
                vec![Ask::Web(vec![Origins]), Ask::Bundle, Ask::Web(vec![Upstream]), Ask::Siblings],
            ),
        ] {
            assert_eq!(asks(&named), order, "{named:?}");
        }
    }
}
