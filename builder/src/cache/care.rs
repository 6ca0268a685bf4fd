//! What becomes of a cache over time: blobs nobody needs any more, and blobs the disk has damaged.
//! May not remove anything: it says what could go.

use std::collections::{BTreeMap, BTreeSet};

use anymetal_contract::Digest;
use anymetal_supply::store::Store;
use anymetal_supply::transfer::Watch as _;

use super::{Show, crew};

/// Files read at a time: the second one's disk is busy while the first one's bytes are hashed.
const AT_ONCE: usize = 4;

/// What could go; all with sizes in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Surplus {
    /// Whole blobs.
    pub blobs: BTreeMap<Digest, u64>,
    /// Beginnings of blobs.
    pub parts: BTreeMap<Digest, u64>,
}

/// What none of those who need these has a use for. The beginning of a blob is of use when the blob is needed and not there.
pub fn surplus(blobs: &BTreeMap<Digest, u64>, parts: &BTreeMap<Digest, u64>, needed: &BTreeSet<Digest>) -> Surplus {
    let of_use = |digest: &Digest| needed.contains(digest) && !blobs.contains_key(digest);
    Surplus {
        blobs: blobs.iter().filter(|(digest, _)| !needed.contains(digest)).map(owned).collect(),
        parts: parts.iter().filter(|(digest, _)| !of_use(digest)).map(owned).collect(),
    }
}

fn owned((digest, size): (&Digest, &u64)) -> (Digest, u64) {
    (digest.clone(), *size)
}

/// A blob whose bytes are not what its name says.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its name.
    pub digest: Digest,
    /// What is wrong.
    pub words: String,
}

/// Reads every one of these blobs, and gives back those that are not right, sorted. One that went away meanwhile is no matter.
pub fn verify(store: &Store, blobs: &BTreeMap<Digest, u64>, show: &Show) -> Vec<Damaged> {
    show.expect(blobs.iter().map(|(digest, size)| (digest.as_str(), Some(*size), 0)));
    let blobs: Vec<_> = blobs.iter().collect();
    let looked = crew::each(AT_ONCE, blobs.len(), |place| {
        let (digest, size) = blobs[place];
        let words = match store.measure(digest) {
            Ok(Some((found, _))) if found != *digest => Some(format!("its bytes have sha256:{found}")),
            Ok(_) => None,
            Err(error) => Some(format!("{error:#}")),
        };
        show.progress(digest.as_str(), *size, Some(*size));
        words.map(|words| Damaged { digest: digest.clone(), words })
    });
    show.finish();
    looked.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_so_does_its_beginning() {
        let digest = |byte: u8| Digest::of([byte; 32]);
        let sized = |bytes: &[u8]| bytes.iter().map(|byte| (digest(*byte), u64::from(*byte))).collect();
        // 1 and 3 are needed; 2 and 4 are not; 1 is there whole
        let found = surplus(&sized(&[1, 2]), &sized(&[1, 3, 4]), &BTreeSet::from([digest(1), digest(3)]));
        assert_eq!(found, Surplus { blobs: sized(&[2]), parts: sized(&[1, 4]) });
        assert_eq!(surplus(&sized(&[]), &sized(&[]), &BTreeSet::new()), Surplus::default());
    }
}
