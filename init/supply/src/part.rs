//! An artefact that is coming: one file beside the artefacts, one writer at a time, hashed as it grows.
//! May not fetch or judge, and knows only its own file and the place it goes to.

#![expect(clippy::disallowed_methods, reason = "this is a room of sys/ that touches the content store")]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::Digest;
use nix::fcntl::OFlag;
use sha2::Digest as _;

use crate::pump::{BUFFER, Copying, pump};
use crate::store::{hash_all, read_only};

/// An artefact that is coming: its file, locked, and the hash of what is there so far. Dropped, it stays on disk to be resumed, by whoever is next.
pub struct Part {
    path: PathBuf,
    blob: PathBuf,
    file: File,
    hash: sha2::Sha256,
    length: u64,
}

impl Part {
    /// Opens or begins it, hashing what is there already. It is ours alone as long as it is open: `waiting` is called when somebody else has it, who
    /// is then waited for, and may have put the artefact in its place meanwhile.
    pub(crate) fn open(path: PathBuf, blob: PathBuf, waiting: impl FnOnce()) -> anyhow::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(OFlag::O_NOFOLLOW.bits());
        let locking = || format!("locking {}", path.display());
        let mut waiting = Some(waiting);
        let mut file = loop {
            let file = options.open(&path).with_context(|| format!("opening {}", path.display()))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    if let Some(waiting) = waiting.take() {
                        waiting();
                    }
                    file.lock().with_context(locking)?;
                }
                Err(TryLockError::Error(error)) => return Err(error).with_context(locking),
            }
            // Whoever had it may have renamed or removed it; then it is not the one that others find.
            if is_at(&file, &path).with_context(locking)? {
                break file;
            }
        };
        let mut hash = sha2::Sha256::new();
        let length = hash_all(&mut file, &mut hash, &mut vec![0; BUFFER])
            .with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { path, blob, file, hash, length })
    }

    /// Bytes that are there.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of the bytes that are there.
    pub fn digest(&self) -> Digest {
        Digest::of(self.hash.clone().finalize().into())
    }

    /// Adds what is read, at the end. What came before an error of reading stays.
    pub fn extend(&mut self, read: impl FnMut(&mut [u8]) -> io::Result<usize>) -> Result<(), Copying> {
        let Self { path, file, hash, length, .. } = self;
        pump(read, |bytes| {
            file.write_all(bytes).with_context(|| format!("writing {}", path.display()))?;
            hash.update(bytes);
            *length += bytes.len() as u64;
            Ok(())
        })
    }

    /// Adds these bytes, at the end.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| format!("writing {}", self.path.display()))?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets what is there.
    pub fn clear(&mut self) -> anyhow::Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .with_context(|| format!("emptying {}", self.path.display()))?;
        self.hash = sha2::Sha256::new();
        self.length = 0;
        Ok(())
    }

    /// Removes the file: what it holds is of no use, or its room is needed.
    pub fn remove(self) -> anyhow::Result<()> {
        std::fs::remove_file(&self.path).with_context(|| format!("removing {}", self.path.display()))
    }

    /// Puts the artefact in its place, durably: the file first, then its name. What is whole is no secret, and is for whoever may enter the store:
    /// siblings are given it by a service that is nobody in particular.
    pub fn keep(self) -> anyhow::Result<()> {
        let readable = std::fs::Permissions::from_mode(0o644);
        self.file.set_permissions(readable).with_context(|| format!("setting the mode of {}", self.path.display()))?;
        self.file.sync_all().with_context(|| format!("writing {} to the disk", self.path.display()))?;
        std::fs::rename(&self.path, &self.blob).with_context(|| format!("renaming {}", self.path.display()))?;
        let dir = self.blob.parent().expect("a blob lies in the store's folder");
        File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("writing {} to the disk", dir.display()))
    }
}

/// Removes a part, unless somebody has it open. Says whether it is gone.
pub(crate) fn sweep(path: &Path) -> anyhow::Result<bool> {
    let sweeping = || format!("removing {}", path.display());
    let file = match read_only().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(error).with_context(sweeping),
    };
    match file.try_lock() {
        Ok(()) if is_at(&file, path).with_context(sweeping)? => {
            std::fs::remove_file(path).with_context(sweeping)?;
            Ok(true)
        }
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).with_context(sweeping),
    }
}

/// Whether this is the file that is found under this path.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::store::Store;

    fn digest_of(bytes: &[u8]) -> Digest {
        Digest::of(sha2::Sha256::digest(bytes).into())
    }

    fn alone(store: &Store, digest: &Digest) -> Part {
        store.part(digest, || panic!("nobody else has it")).unwrap()
    }

    fn append(part: &mut Part, mut bytes: &[u8]) {
        part.extend(|buffer| bytes.read(buffer)).unwrap();
    }

    #[test]
    fn a_part_goes_on_where_it_was_left_and_becomes_the_blob() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("a/b")).unwrap();
        let digest = digest_of(b"hello, world");
        let mut part = alone(&store, &digest);
        append(&mut part, b"hello");
        drop(part);
        assert_eq!(store.part_length(&digest), 5);
        let mut part = alone(&store, &digest);
        assert_eq!((part.length(), part.digest()), (5, digest_of(b"hello")));
        append(&mut part, b", world");
        part.keep().unwrap();
        assert_eq!(store.measure(&digest).unwrap(), Some((digest, 12)));
    }

    #[test]
    fn a_part_that_was_emptied_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().into()).unwrap();
        let digest = digest_of(b"right");
        let mut part = alone(&store, &digest);
        append(&mut part, b"wrong bytes");
        part.clear().unwrap();
        append(&mut part, b"right");
        assert_eq!(part.digest(), digest);
        part.keep().unwrap();
        assert_eq!(std::fs::read(store.blob(&digest)).unwrap(), b"right");
    }

    #[test]
    fn a_part_is_written_by_one_at_a_time_and_the_next_finds_what_became_of_it() {
        for kept in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path().into()).unwrap();
            let digest = digest_of(b"whole");
            let mut mine = alone(&store, &digest);
            append(&mut mine, b"whole");
            let (told, waits) = std::sync::mpsc::channel();
            let next = std::thread::scope(|scope| {
                let (store, digest) = (&store, &digest);
                let next = scope.spawn(move || store.part(digest, || told.send(()).unwrap()).unwrap().length());
                waits.recv().expect("the other one says that it waits");
                if kept {
                    mine.keep().unwrap();
                } else {
                    drop(mine);
                }
                next.join().unwrap()
            });
            assert_eq!((next, store.size(&digest)), if kept { (0, Some(5)) } else { (5, None) });
        }
    }

    #[test]
    fn a_part_that_somebody_writes_is_not_swept() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().into()).unwrap();
        let digest = digest_of(b"x");
        let mut part = alone(&store, &digest);
        append(&mut part, b"half");
        assert!(!store.sweep(&digest).unwrap());
        assert_eq!(store.part_length(&digest), 4);
        drop(part);
        assert!(store.sweep(&digest).unwrap() && store.sweep(&digest).unwrap());
        assert_eq!(std::fs::read_dir(store.dir()).unwrap().count(), 0);
    }
}
