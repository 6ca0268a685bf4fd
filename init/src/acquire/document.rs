//! One document by its digest, before there is a plan that says where: from a bundle near at hand, else from origins.
//! May not say what the document is, nor take one that has other bytes.

use std::io::Read as _;
use std::time::Duration;

use anymetal_contract::release::Pinned;
use anymetal_contract::{Outcome, Reason, Unit, place};
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::http::Limits;
use anymetal_supply::origin::{self, Missed};
use anymetal_supply::store::Store;
use anymetal_supply::take::take;
use anymetal_supply::transfer::{self, Clients, Pace, Wanted, Watch};

use super::bundle;
use crate::phase::Steps;
use crate::world::World;

/// The largest document, in bytes; the plan of a whole site has 60 KiB.
const LARGEST: u64 = 4 << 20;
/// What one place may take: a document is small, and the next place may have it.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(5), whole: Some(Duration::from_secs(30)), silence: Duration::from_secs(10) };

/// A document that is wanted.
pub(crate) struct Document<'a> {
    /// What it is, in a word.
    pub(crate) name: &'a str,
    pub(crate) pinned: &'a Pinned,
    /// Where it is asked for, after a bundle and the kernel command line's origin.
    pub(crate) origins: &'a [String],
}

/// Fetches the document into the store, unless it is there, and returns its bytes.
pub(crate) fn fetch(world: &World, steps: &dyn Steps, document: &Document) -> Result<Vec<u8>, Missed> {
    let Document { name, pinned: Pinned { sha256, size }, origins } = document;
    if *size > LARGEST {
        let what = format!("the {name} is said to have {size} bytes, and at most {LARGEST} are read");
        return Err(Missed::Never(Failure::new(Reason::ReleaseUnreadable, what)));
    }
    let store = world.store().map_err(Missed::Never)?;
    let origins = world.overrides.origin.iter().chain(*origins).map(String::as_str);
    let candidates = origin::candidates(origins, sha256, &[]);
    let wanted =
        Wanted { name, title: format!("the {name}"), sha256, size: Some(*size), candidates, reserve: Vec::new() };
    let told = Told(steps);
    if !transfer::is_kept(&store, &wanted, &told).map_err(Missed::Never)? && !bundled(world, steps, &store, &wanted)? {
        if wanted.candidates.is_empty() {
            let message = format!("{} names no origin, and there is no bundle with the {name}", place::PINS);
            return Err(Missed::NotYet { reason: Reason::ArtefactUnreachable, message, settled: false });
        }
        transfer::fetch(&store, &Clients::new(LIMITS, &world.outside()), &wanted, Pace::UNHURRIED, &told)?;
    }
    let read = || {
        let mut bytes = Vec::new();
        store.read(sha256)?.take(*size).read_to_end(&mut bytes)?;
        anyhow::Ok(bytes)
    };
    read().because(Reason::HostFault).map_err(Missed::Never)
}

/// Whether a bundle gave it. What is wrong with one is said, and the document asked for elsewhere.
fn bundled(world: &World, steps: &dyn Steps, store: &Store, wanted: &Wanted) -> Result<bool, Missed> {
    let Some(near) = bundle::find(world, steps) else { return Ok(false) };
    let Some(copy) = near.copy(wanted.sha256) else { return Ok(false) };
    match take(store, wanted, copy, &Told(steps)).map_err(Missed::Never)? {
        Ok(_) => Ok(true),
        Err(wrong) => {
            let message = format!("{} is damaged: {} in it {wrong}", near.name(), wanted.title);
            steps.step(wanted.name, Outcome::Progress, &message);
            Ok(false)
        }
    }
}

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
