//! The content store on disk: one file per artefact, named by its sha256, and one `.part` beside it while it comes.
//! May not fetch or judge: it says what the bytes' digest is, and keeps or discards what it is told to.

#![expect(clippy::disallowed_methods, reason = "this is the room of sys/ that touches the content store")]

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::Digest;
use nix::fcntl::OFlag;
use sha2::Digest as _;

use crate::part::{self, Part};
use crate::pump::BUFFER;

/// The content store.
pub struct Store {
    dir: PathBuf,
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
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.dir.join(digest.as_str())
    }

    /// The path of one that is coming.
    fn coming(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{digest}.part"))
    }

    /// Whether there is something under this name, right or wrong.
    pub fn has(&self, digest: &Digest) -> bool {
        self.blob(digest).symlink_metadata().is_ok()
    }

    /// How long the file under this name is, without looking into it; `None` when there is no plain file.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.blob(digest).symlink_metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len())
    }

    /// What the file under this name really has for a digest, and its length; `None` when there is no file.
    pub fn measure(&self, digest: &Digest) -> anyhow::Result<Option<(Digest, u64)>> {
        let path = self.blob(digest);
        let mut file = match read_only().open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
        };
        digest_of(&mut file, &mut vec![0; BUFFER]).with_context(|| format!("reading {}", path.display())).map(Some)
    }

    /// Opens an artefact for reading.
    pub fn read(&self, digest: &Digest) -> anyhow::Result<File> {
        let path = self.blob(digest);
        read_only().open(&path).with_context(|| format!("opening {}", path.display()))
    }

    /// Removes an artefact, if it is there: its bytes are not what its name says, or nobody needs it.
    pub fn discard(&self, digest: &Digest) -> anyhow::Result<()> {
        let path = self.blob(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Opens or begins the `.part` of an artefact; see [`Part::open`].
    pub fn part(&self, digest: &Digest, waiting: impl FnOnce()) -> anyhow::Result<Part> {
        Part::open(self.coming(digest), self.blob(digest), waiting)
    }

    /// The artefacts of which there is a `.part`; none when the folder cannot be read.
    pub fn parts(&self) -> Vec<Digest> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".part")?.parse().ok()).collect()
    }

    /// Removes the `.part` of an artefact, unless somebody has it open. Says whether it is gone.
    pub fn sweep(&self, digest: &Digest) -> anyhow::Result<bool> {
        part::sweep(&self.coming(digest))
    }

    /// How long the `.part` of an artefact is, without looking into it; 0 when there is none.
    pub fn part_length(&self, digest: &Digest) -> u64 {
        std::fs::symlink_metadata(self.coming(digest)).map_or(0, |found| found.len())
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

/// Bytes an unprivileged program may still write to the file system that holds `path`.
pub fn free(path: &Path) -> anyhow::Result<u64> {
    let found = nix::sys::statvfs::statvfs(path).with_context(|| format!("asking how full {} is", path.display()))?;
    #[allow(
        clippy::useless_conversion,
        reason = "the width of these types differs between the two architectures' C libraries"
    )]
    Ok(u64::from(found.blocks_available()).saturating_mul(u64::from(found.fragment_size())))
}

/// For reading, and no link is followed.
pub(crate) fn read_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(OFlag::O_NOFOLLOW.bits());
    options
}

/// The digest of what is left to be read, and how long that was, in bytes.
pub fn digest_of(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<(Digest, u64)> {
    let mut hash = sha2::Sha256::new();
    let length = hash_all(from, &mut hash, buffer)?;
    Ok((Digest::of(hash.finalize().into()), length))
}

/// Hashes what is left to be read; how long that was, in bytes.
pub(crate) fn hash_all(from: &mut impl Read, hash: &mut sha2::Sha256, buffer: &mut [u8]) -> io::Result<u64> {
    let mut length = 0;
    loop {
        match from.read(buffer) {
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

    #[test]
    fn a_link_in_the_place_of_an_artefact_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().into()).unwrap();
        let digest = Digest::of([7; 32]);
        std::os::unix::fs::symlink("/etc/hostname", store.blob(&digest)).unwrap();
        let error = store.measure(&digest).unwrap_err();
        assert!(format!("{error:#}").contains(digest.as_str()), "{error:#}");
    }
}
