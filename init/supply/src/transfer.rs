//! One artefact: from the first place that gives the right bytes into the store, verified while it streams, resumed when cut.
//! May not decide what a failed round means: `origin` does.

use std::time::{Duration, Instant};

use anymetal_contract::{Digest, Reason};

use crate::failure::{Because as _, Failure};
use crate::http::{Certificates, Http, Limits, Outside};
use crate::origin::{Candidate, Missed, Said, judge};
use crate::part::Part;
use crate::race;
use crate::stock::{claim, give_up, keep};
use crate::store::Store;

/// What an artefact without a pinned size may have at most: four times the largest of the field's archives (a Nomad with all its
/// drivers is below half a gigabyte), so that a wrong URL cannot fill the disk.
pub const MOST: u64 = 2 << 30;

/// A blob that is wanted, by its digest.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The step's name: the component.
    pub name: &'a str,
    /// Name and version, for messages.
    pub title: String,
    /// What its bytes must have.
    pub sha256: &'a Digest,
    /// In bytes, when it is known; a transfer of another length is refused early.
    pub size: Option<u64>,
    /// Where it may be, in the order in which they are asked.
    pub candidates: Vec<Candidate>,
    /// Where else it may be: asked beside a candidate that gives too little, and not because one has failed.
    pub reserve: Vec<Candidate>,
}

/// Who hears how a transfer goes.
pub trait Watch: Sync {
    /// Something happened that a person may want to know, of the step of that name.
    fn word(&self, name: &str, message: &str);
    /// So many bytes are there, of so many when that is known.
    fn progress(&self, name: &str, done: u64, total: Option<u64>);
    /// A place did not give the artefact, or not fast enough, and said this.
    fn missed(&self, _place: &Candidate, _said: &Said) {}
    /// Bytes between two words on progress.
    fn step(&self) -> u64 {
        512 * 1024
    }
}

/// How an artefact got into the store.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// It was there.
    Same,
    /// So many bytes came, the last of them from there.
    Fetched {
        /// How long it is.
        bytes: u64,
        /// Which place; see [`Candidate::base`].
        base: String,
    },
}

/// How long places may take.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long a place may give too little before the next is asked beside it.
    pub beside: Duration,
    /// When the artefact should be there: what is too little is judged by it. Each place that may be asked has a share of the time until then.
    pub due: Option<Instant>,
    /// When it is not waited for any longer. Whoever is at it then is named with what he gave.
    pub until: Option<Instant>,
}

impl Pace {
    /// Nobody is in a hurry: the next place is asked beside one that hardly gives anything, and every place is waited for.
    pub const UNHURRIED: Self = Self { beside: Duration::from_secs(5), due: None, until: None };
}

/// The clients that transfers share: one that checks certificates, one that does not.
pub struct Clients {
    pub(crate) checked: Http,
    pub(crate) ignoring: Http,
    pub(crate) limits: Limits,
}

impl Clients {
    /// Both of them, with these limits, that go this way.
    pub fn new(limits: Limits, outside: &Outside) -> Self {
        let one = |certificates| Http::outward(limits, certificates, outside);
        let (checked, ignoring) = (one(Certificates::Checked), one(Certificates::Ignored));
        Self { checked, ignoring, limits }
    }
}

/// Whether the artefact is in the store, whole and right. A copy that is damaged is said and removed.
pub fn is_kept(store: &Store, wanted: &Wanted, watch: &dyn Watch) -> Result<bool, Failure> {
    if !store.has(wanted.sha256) {
        return Ok(false);
    }
    let Some(part) = claim(store, wanted, watch)? else { return Ok(true) };
    if part.length() == 0 {
        part.remove().because(Reason::HostFault)?;
    }
    Ok(false)
}

/// Makes sure that the artefact is in the store: one round of asking the candidates. Returns where it came from. Fails with what every place said.
pub fn fetch(store: &Store, clients: &Clients, wanted: &Wanted, pace: Pace, watch: &dyn Watch) -> Result<Got, Missed> {
    let Some(mut part) = claim(store, wanted, watch).map_err(Missed::Never)? else { return Ok(Got::Same) };
    match round(clients, wanted, pace, watch, &mut part) {
        Ok(got) => keep(part, store, wanted).map(|()| got).map_err(Missed::Never),
        Err(Missed::Never(failure)) => Err(Missed::Never(give_up(part, failure, store, wanted))),
        Err(not_yet) => {
            if part.length() == 0 {
                part.remove().because(Reason::HostFault).map_err(Missed::Never)?;
            }
            Err(not_yet)
        }
    }
}

/// What an earlier run left may be all of it; else the places are asked.
fn round(clients: &Clients, wanted: &Wanted, pace: Pace, watch: &dyn Watch, part: &mut Part) -> Result<Got, Missed> {
    if part.length() > 0 {
        if part.digest() == *wanted.sha256 {
            return Ok(Got::Fetched { bytes: part.length(), base: "an earlier run".into() });
        }
        if wanted.size.is_some_and(|size| part.length() >= size) {
            part.clear().because(Reason::HostFault).map_err(Missed::Never)?;
        }
    }
    if wanted.candidates.is_empty() {
        return Err(judge(&wanted.title, wanted.sha256, &[]));
    }
    race::run(clients, wanted, pace, watch, part)
}
