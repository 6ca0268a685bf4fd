//! One artefact from a copy at hand, such as a bundle's member, into the store: verified while it is copied.
//! May not open that copy, nor ask anybody else when it is not the artefact.

use std::io::Read;

use anymetal_contract::Reason;

use crate::failure::{Because as _, Failure};
use crate::pump::Copying;
use crate::stock::{claim, give_up, keep};
use crate::store::Store;
use crate::transfer::{MOST, Wanted, Watch};

/// Copies the artefact into the store, unless it is there, and gives its length in bytes; or what is wrong with the copy, in words, and then nothing
/// of it is kept.
pub fn take(
    store: &Store,
    wanted: &Wanted,
    mut copy: impl Read,
    watch: &dyn Watch,
) -> Result<Result<u64, String>, Failure> {
    let Some(mut part) = claim(store, wanted, watch)? else {
        return Ok(Ok(store.size(wanted.sha256).unwrap_or_default()));
    };
    // What an earlier transfer left is of no use: reading it all from near at hand is as quick as going on.
    part.clear().because(Reason::HostFault)?;
    let (most, step) = (wanted.size.unwrap_or(MOST), watch.step());
    let (mut length, mut spoken) = (0, 0);
    let copied = part.extend(|buffer| {
        let read = copy.read(buffer)?;
        length += read as u64;
        if length > most {
            return Ok(0);
        }
        if length - spoken >= step || (read == 0 && length > spoken) {
            spoken = length;
            watch.progress(wanted.name, length, wanted.size);
        }
        Ok(read)
    });
    let found = part.digest();
    let wrong = match copied {
        Err(Copying::Writing(error)) => {
            let failure = Err::<(), _>(error).because(Reason::HostFault).expect_err("it is an error");
            return Err(give_up(part, failure, store, wanted));
        }
        Err(Copying::Reading(error)) => format!("cannot be read ({error})"),
        Ok(()) if length > most => format!("is longer than {most} bytes"),
        Ok(()) if found != *wanted.sha256 => format!("has other bytes (sha256 {}…)", found.short()),
        Ok(()) => {
            keep(part, store, wanted)?;
            return Ok(Ok(length));
        }
    };
    part.remove().because(Reason::HostFault)?;
    Ok(Err(wrong))
}

#[cfg(test)]
mod tests {
    use std::io;

    use anymetal_contract::Digest;
    use sha2::Digest as _;

    use super::*;

    struct Nobody;

    impl Watch for Nobody {
        fn word(&self, _: &str, _: &str) {}
        fn progress(&self, _: &str, _: u64, _: Option<u64>) {}
    }

    /// Gives so many bytes, then an error.
    struct Breaks(usize);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.min(buffer.len());
            self.0 -= length;
            if length == 0 { Err(io::Error::other("a bad sector")) } else { Ok(length) }
        }
    }

    #[test]
    fn a_copy_is_kept_only_when_it_is_the_artefact() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let store = Store::open(folder.path().into()).expect("the store can be opened");
        let bytes = b"the right bytes".to_vec();
        let sha256 = Digest::of(sha2::Sha256::digest(&bytes).into());
        let size = Some(bytes.len() as u64);
        let wanted =
            Wanted { name: "x", title: "x 1".into(), sha256: &sha256, size, candidates: vec![], reserve: vec![] };
        let take_from = |copy: &mut dyn Read| take(&store, &wanted, copy, &Nobody).unwrap();
        for (copy, said) in [
            (&mut b"the wrong bytes".as_slice() as &mut dyn Read, "has other bytes (sha256 "),
            (&mut b"the right".as_slice(), "has other bytes (sha256 "),
            (&mut io::repeat(b'x'), "is longer than 15 bytes"),
            (&mut Breaks(7), "cannot be read (a bad sector)"),
        ] {
            let wrong = take_from(copy).unwrap_err();
            assert!(wrong.starts_with(said), "{wrong:?} is not {said:?}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something of it was kept");
        }
        // What a transfer has left is not gone on with.
        let mut left = b"another beginning".as_slice();
        store.part(&sha256, || {}).unwrap().extend(|buffer| left.read(buffer)).unwrap();
        assert_eq!(take_from(&mut bytes.as_slice()), Ok(15));
        assert_eq!(store.measure(&sha256).unwrap(), Some((sha256.clone(), 15)));
    }
}
