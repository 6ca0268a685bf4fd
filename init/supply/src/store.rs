//! The content store on disk: one file per artefact, named by its sha256, and one `.part` beside it while it comes.
//! May not fetch or judge: it says what the bytes' digest is, and keeps or discards what it is told to.

#![expect(clippy::disallowed_methods, reason = "this is the room of sys/ that touches the content store")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::Digest;
use nix::fcntl::OFlag;
use sha2::Digest as _;

use crate::pump::{BUFFER, Copying, pump};

/// The content store.
pub struct Store {
    dir: PathBuf,
}

/// An artefact that is coming: its file, and the hash of what is there so far. Dropped, it stays on disk to be resumed.
pub struct Part {
    path: PathBuf,
    blob: PathBuf,
    file: File,
    hash: sha2::Sha256,
    length: u64,
}

impl Store {
    /// Opens the store, making its folders 0700 where they are missing.
    pub fn open(dir: PathBuf) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir)
            .with_context(|| format!("making the content store {}", dir.display()))?;
        Ok(Self { dir })
    }

    /// The path of an artefact that is in the store.
    fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.as_str())
    }

    /// Whether there is something under this name, right or wrong.
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob(digest).symlink_metadata().is_ok()
    }

    /// What the file under this name really has for a digest, and its length; `None` when there is no file.
    pub fn measure(&self, digest: &Digest) -> anyhow::Result<Option<(Digest, u64)>> {
        let path = self.blob(digest);
        let mut file = match read_only().open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
        };
        let mut hash = sha2::Sha256::new();
        let length = hash_all(&mut file, &mut hash).with_context(|| format!("reading {}", path.display()))?;
        Ok(Some((Digest::of(hash.finalize().into()), length)))
    }

    /// Opens an artefact for reading.
    pub fn read(&self, digest: &Digest) -> anyhow::Result<File> {
        let path = self.blob(digest);
        read_only().open(&path).with_context(|| format!("opening {}", path.display()))
    }

    /// Removes an artefact whose bytes are not what its name says.
    pub fn discard(&self, digest: &Digest) -> anyhow::Result<()> {
        let path = self.blob(digest);
        std::fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))
    }

    /// Opens or begins the `.part` of an artefact, hashing what is there already.
    pub fn part(&self, digest: &Digest) -> anyhow::Result<Part> {
        let path = self.dir.join(format!("{digest}.part"));
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = options.custom_flags(OFlag::O_NOFOLLOW.bits()).open(&path)?;
            let mut hash = sha2::Sha256::new();
            let length = hash_all(&mut file, &mut hash)?;
            io::Result::Ok((file, hash, length))
        };
        let (file, hash, length) = open().with_context(|| format!("opening {}", path.display()))?;
        Ok(Part { path: path.clone(), blob: self.blob(digest), file, hash, length })
    }

    /// How long the `.part` of an artefact is, without looking into it; 0 when there is none.
    pub fn part_length(&self, digest: &Digest) -> u64 {
        std::fs::symlink_metadata(self.dir.join(format!("{digest}.part"))).map_or(0, |found| found.len())
    }

    /// Bytes a program may still write to the store's file system.
    pub fn free(&self) -> anyhow::Result<u64> {
        free(&self.dir)
    }

    /// Where the store is, for messages.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Part {
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

    /// Puts the artefact in its place, durably: the file first, then its name.
    pub fn keep(self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("writing {} to the disk", self.path.display()))?;
        std::fs::rename(&self.path, &self.blob).with_context(|| format!("renaming {}", self.path.display()))?;
        let dir = self.blob.parent().expect("a blob lies in the store's folder");
        File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| format!("writing {} to the disk", dir.display()))
    }
}

/// Bytes an unprivileged program may still write to the file system that holds `path`.
pub fn free(path: &Path) -> anyhow::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path).with_context(|| format!("asking how full {} is", path.display()))?;
    #[allow(
        clippy::useless_conversion,
        reason = "the width of these types differs between the two architectures' C libraries"
    )]
    Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
}

fn read_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

fn hash_all(file: &mut File, hash: &mut sha2::Sha256) -> io::Result<u64> {
    let mut buffer = vec![0; BUFFER];
    let mut length = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(length),
            Ok(read) => {
                hash.update(&buffer[..read]);
                length += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest_of(bytes: &[u8]) -> Digest {
        Digest::of(sha2::Sha256::digest(bytes).into())
    }

    fn append(part: &mut Part, mut bytes: &[u8]) {
        part.extend(|buffer| bytes.read(buffer)).unwrap();
    }

    #[test]
    fn a_part_goes_on_where_it_was_left_and_becomes_the_blob() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("a/b")).unwrap();
        let digest = digest_of(b"hello, world");
        let mut part = store.part(&digest).unwrap();
        append(&mut part, b"hello");
        drop(part);
        assert_eq!(store.part_length(&digest), 5);
        let mut part = store.part(&digest).unwrap();
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
        let mut part = store.part(&digest).unwrap();
        append(&mut part, b"wrong bytes");
        part.clear().unwrap();
        append(&mut part, b"right");
        assert_eq!(part.digest(), digest);
        part.keep().unwrap();
        assert_eq!(std::fs::read(store.blob(&digest)).unwrap(), b"right");
    }

    #[test]
    fn a_link_in_the_place_of_an_artefact_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().into()).unwrap();
        let digest = digest_of(b"x");
        std::os::unix::fs::symlink("/etc/hostname", store.blob(&digest)).unwrap();
        let error = store.measure(&digest).unwrap_err();
        assert!(format!("{error:#}").contains(digest.as_str()), "{error:#}");
    }
}
