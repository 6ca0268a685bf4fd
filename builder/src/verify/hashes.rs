//! Whether bytes have the digests that are claimed of them: hashed by as many threads as there are cores, the largest first.
//! May not hold more than a buffer for each thread.

use std::num::NonZero;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::Digest;
use anymetal_supply::bundle::Section;
use anymetal_supply::store::digest_of;

use crate::sys::bundle;

/// Bytes read at a time: fits the second cache of any core, and system calls do not count.
const BUFFER: usize = 256 * 1024;
/// Threads at most: what is read comes from one disk.
const MOST_THREADS: usize = 8;

/// That some bytes have a digest.
pub(super) struct Claim<'c> {
    /// For messages.
    pub(super) name: String,
    pub(super) wanted: &'c Digest,
    pub(super) bytes: Bytes<'c>,
}

/// Where bytes are.
pub(super) enum Bytes<'c> {
    Section(Section<'c>),
    File(&'c Path),
}

/// Whether all claims hold. Of several that do not, the error is that of the first.
pub(super) fn judge(claims: Vec<Claim<'_>>) -> Result<()> {
    let mut order: Vec<_> = claims.into_iter().enumerate().collect();
    order.sort_by_key(|(_, claim)| std::cmp::Reverse(claim.size()));
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut buffer, mut wrong) = (vec![0; BUFFER], Vec::new());
        while let Some((place, claim)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = claim.judge(&mut buffer) {
                wrong.push((*place, error));
            }
        }
        wrong
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_THREADS).min(order.len());
    let mut wrong = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().flat_map(join).collect::<Vec<_>>()
    });
    wrong.sort_by_key(|(place, _)| *place);
    wrong.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
}

impl Claim<'_> {
    /// How many bytes there are, when that is known without looking.
    fn size(&self) -> u64 {
        match &self.bytes {
            Bytes::Section(section) => section.left(),
            Bytes::File(path) => path.metadata().map_or(0, |found| found.len()),
        }
    }

    fn judge(&self, buffer: &mut [u8]) -> Result<()> {
        let reading = || format!("reading {}", self.name);
        let (found, _) = match &self.bytes {
            Bytes::Section(section) => digest_of(&mut section.clone(), buffer).with_context(reading)?,
            Bytes::File(path) => digest_of(&mut bundle::open(path)?, buffer).with_context(reading)?,
        };
        ensure!(found == *self.wanted, "{} has other bytes: sha256 {found}", self.name);
        Ok(())
    }
}
