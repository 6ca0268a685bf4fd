//! Which blob is got next, by whom and from where, when siblings share the work: whatever can be got now goes before what has to be waited for.
//! May not get one itself: `supply` does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::blob::Blob;
use super::supply::{From, Supplies};
use crate::siblings::Turn;
use anymetal_supply::origin::Missed;
use anymetal_supply::transfer::Got;

/// Between two looks whose turn it is.
const LOOK: Duration = Duration::from_millis(100);

/// The way through all blobs, for any number of workers.
pub(super) struct Course<'a> {
    supplies: &'a Supplies<'a>,
    blobs: &'a [Blob<'a>],
    /// For each blob, whether it has been looked for near at hand.
    near: Vec<AtomicBool>,
    /// What is still to be got, in order.
    open: Mutex<Vec<usize>>,
    /// One is got, or is open again.
    news: Condvar,
}

impl<'a> Course<'a> {
    pub(super) fn new(supplies: &'a Supplies<'a>, blobs: &'a [Blob<'a>]) -> Self {
        let near = blobs.iter().map(|_| AtomicBool::new(false)).collect();
        let open = Mutex::new((0..blobs.len()).collect());
        Self { supplies, blobs, near, open, news: Condvar::new() }
    }

    /// The next blob that has come, or will not for now; `None` when there is none any more.
    pub(super) fn next(&self) -> Option<(usize, Result<Got, Missed>)> {
        loop {
            let (place, from) = self.pick()?;
            if let Some(result) = self.supplies.get(&self.blobs[place], &from) {
                return Some((place, result));
            }
            self.near[place].store(true, Ordering::SeqCst);
            self.open().push(place);
            self.news.notify_all();
        }
    }

    /// Takes the first that can be got now off the list. What others are at work on is not waited for here: who is may open it again himself.
    fn pick(&self) -> Option<(usize, From)> {
        let mut open = self.open();
        loop {
            if open.is_empty() {
                return None;
            }
            let ready = open.iter().enumerate().find_map(|(at, place)| Some((at, self.from(*place)?)));
            if let Some((at, from)) = ready {
                return Some((open.remove(at), from));
            }
            if let Some(siblings) = self.supplies.siblings() {
                siblings.waits();
            }
            open = self.news.wait_timeout(open, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Where a blob can be got now, if it can.
    fn from(&self, place: usize) -> Option<From> {
        let blob = &self.blobs[place];
        if !self.near[place].load(Ordering::SeqCst) {
            return Some(From::Near);
        }
        if !self.supplies.shares() {
            return Some(From::Outside);
        }
        let Some(siblings) = self.supplies.siblings() else {
            return (!self.supplies.may_be_known()).then_some(From::Outside);
        };
        siblings.want(blob.sha256);
        match siblings.turn(blob.sha256) {
            Turn::From(them) => Some(From::Siblings(them)),
            Turn::Outside => Some(From::Outside),
            Turn::Wait => None,
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
