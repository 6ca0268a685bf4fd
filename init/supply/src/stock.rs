//! An artefact's place in the store: whether it is there, who is at it, whether there is room for it, and what stays when it did not come.
//! May not fetch: whoever claims a place fills it.

use anyhow::Context as _;
use anymetal_contract::{Digest, Reason};

use crate::amount::Amount;
use crate::failure::{Because as _, Failure};
use crate::part::Part;
use crate::store::Store;
use crate::transfer::{Wanted, Watch};

/// Stops before the first byte when what is to come, as far as its size is known, does not fit.
pub fn require_room<'a>(store: &Store, wanted: impl Iterator<Item = (&'a Digest, Option<u64>)>) -> Result<(), Failure> {
    let needed = wanted
        .filter(|(digest, _)| !store.has(digest))
        .filter_map(|(digest, size)| Some(size?.saturating_sub(store.part_length(digest))))
        .fold(0, u64::saturating_add);
    let free = store.free().because(Reason::HostFault)?;
    if needed > free {
        let message = format!(
            "the artefacts need {} more in {}, where {} is free",
            Amount(needed),
            store.dir().display(),
            Amount(free)
        );
        return Err(Failure::new(Reason::DiskFull, message));
    }
    Ok(())
}

/// The artefact's part, which is then nobody else's; `None` when the artefact is in the store, perhaps because somebody else got it while he was
/// waited for. One that is there and damaged is removed.
pub(crate) fn claim(store: &Store, wanted: &Wanted, watch: &dyn Watch) -> Result<Option<Part>, Failure> {
    let (digest, title) = (wanted.sha256, &wanted.title);
    let found = || store.measure(digest).because(Reason::HostFault);
    if found()?.is_some_and(|(found, _)| found == *digest) {
        return Ok(None);
    }
    let waiting = || watch.word(wanted.name, &format!("somebody else is fetching {title}; waiting"));
    let part = store.part(digest, waiting).because(Reason::HostFault)?;
    match found()? {
        Some((found, _)) if found == *digest => {
            part.remove().because(Reason::HostFault)?;
            return Ok(None);
        }
        Some((found, _)) => {
            let blob = store.blob(digest);
            let message = format!(
                "the store's copy of {title} is damaged ({} has sha256 {}…); fetching it again",
                blob.display(),
                found.short()
            );
            watch.word(wanted.name, &message);
            store.discard(digest).because(Reason::HostFault)?;
        }
        None => {}
    }
    Ok(Some(part))
}

/// A part that is whole and right becomes the artefact.
pub(crate) fn keep(part: Part, store: &Store, wanted: &Wanted) -> Result<(), Failure> {
    part.keep().because(Reason::HostFault).map_err(|failure| with_room(failure, store, wanted))
}

/// What it failed with. The part goes when there is nothing worth keeping, or its room is needed: a disk that is left full takes the rest of the
/// node with it.
pub(crate) fn give_up(part: Part, failure: Failure, store: &Store, wanted: &Wanted) -> Failure {
    if (part.length() == 0 || failure.reason == Reason::DiskFull)
        && let Err(failure) = part.remove().because(Reason::HostFault)
    {
        return failure;
    }
    with_room(failure, store, wanted)
}

/// A full disk is told with what is needed and what is free.
fn with_room(failure: Failure, store: &Store, wanted: &Wanted) -> Failure {
    if failure.reason != Reason::DiskFull {
        return failure;
    }
    let needed = wanted.size.map_or("it".to_owned(), |size| Amount(size).to_string());
    let free = store.free().map_or("an unknown amount".to_owned(), |free| Amount(free).to_string());
    let message =
        format!("storing {}: {needed} must fit into {}, where {free} is free", wanted.title, store.dir().display());
    Failure { reason: failure.reason, error: Err::<(), _>(failure.error).context(message).expect_err("it is an error") }
}
