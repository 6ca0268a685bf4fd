//! Bytes that are on this machine already, under whatever name: into the store, if they are the right ones.
//! May not look for them: whoever knows where they are opens them.

use std::io::Read;

use anymetal_contract::Reason;

use crate::failure::{Because as _, Failure};
use crate::origin::Said;
use crate::pump::Copying;
use crate::stock::{claim, give_up, keep};
use crate::store::Store;
use crate::transfer::{Got, Wanted, Watch};

/// Bytes that may be the wanted ones.
pub struct Carried<'a> {
    /// Where they are, for people.
    pub base: String,
    /// How many there are.
    pub length: u64,
    /// They.
    pub bytes: &'a mut dyn Read,
}

/// Copies them into the store, unless the artefact is there. `None` when they are not the wanted bytes, which the watcher is told.
pub fn take(store: &Store, wanted: &Wanted, watch: &dyn Watch, carried: Carried) -> Result<Option<Got>, Failure> {
    let Carried { base, length, bytes } = carried;
    if let Some(pinned) = wanted.size.filter(|pinned| *pinned != length) {
        let said = Said::OtherLength { claimed: length, pinned };
        watch.word(wanted.name, &format!("{base} {said}; it is passed over"));
        return Ok(None);
    }
    let Some(mut part) = claim(store, wanted, watch)? else { return Ok(Some(Got::Same)) };
    // What an earlier transfer left is not worth more than a copy takes.
    part.clear().because(Reason::HostFault)?;
    let (mut done, mut spoken) = (0, 0);
    let copied = part.extend(|buffer| {
        let read = bytes.read(buffer)?;
        done += read as u64;
        if done - spoken >= watch.step() || (read == 0 && done > spoken) {
            spoken = done;
            watch.progress(wanted.name, done, Some(length));
        }
        Ok(read)
    });
    let said = match copied {
        Ok(()) if part.digest() == *wanted.sha256 => {
            keep(part, store, wanted)?;
            return Ok(Some(Got::Fetched { bytes: done, base }));
        }
        Ok(()) => Said::OtherBytes(part.digest()),
        Err(Copying::Reading(error)) => Said::Broke(format!("cannot be read ({error})")),
        Err(Copying::Writing(error)) => {
            let failure = Err::<(), _>(error).because(Reason::HostFault).expect_err("it is an error");
            return Err(give_up(part, failure, store, wanted));
        }
    };
    part.remove().because(Reason::HostFault)?;
    watch.word(wanted.name, &format!("{base} {said}; it is passed over"));
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use anymetal_contract::Digest;
    use sha2::Digest as _;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Watch for Heard {
        fn word(&self, _: &str, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
        }

        fn progress(&self, _: &str, _: u64, _: Option<u64>) {}
    }

    struct Broken;

    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("worn out"))
        }
    }

    #[test]
    fn the_right_bytes_are_kept_and_others_are_passed_over_with_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().into()).unwrap();
        let digest = Digest::of(sha2::Sha256::digest(b"right").into());
        let wanted = Wanted { name: "x", title: "x 1".into(), sha256: &digest, size: Some(5), candidates: Vec::new() };
        let heard = Heard::default();
        let offer = |length, bytes: &mut dyn Read| {
            take(&store, &wanted, &heard, Carried { base: "/mnt/x".into(), length, bytes }).unwrap()
        };
        assert_eq!(offer(6, &mut &b"right!"[..]), None);
        assert_eq!(offer(5, &mut &b"wrong"[..]), None);
        assert_eq!(offer(5, &mut Broken), None);
        assert_eq!(std::fs::read_dir(store.dir()).unwrap().count(), 0, "wrong bytes were left in the store");
        let other = Digest::of(sha2::Sha256::digest(b"wrong").into());
        assert_eq!(
            *heard.0.lock().unwrap(),
            [
                "/mnt/x offers 6 bytes where 5 are pinned; it is passed over".to_owned(),
                format!("/mnt/x gave other bytes (sha256 {}…); it is passed over", other.short()),
                "/mnt/x cannot be read (worn out); it is passed over".to_owned(),
            ]
        );
        assert_eq!(offer(5, &mut &b"right"[..]), Some(Got::Fetched { bytes: 5, base: "/mnt/x".into() }));
        assert_eq!(offer(5, &mut Broken), Some(Got::Same));
        assert_eq!(store.size(&digest), Some(5));
    }
}
