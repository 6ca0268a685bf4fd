//! The tree below `/opt/anymetal`: a version is made beside its place and renamed into it, `current` is switched in one step.
//! May not know what an archive is: bytes come from whoever reads one.

#![expect(clippy::disallowed_methods, reason = "this is the room of sys/ that touches installed components")]

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::Digest;
use nix::fcntl::OFlag;
use sha2::Digest as _;

use anymetal_supply::pump::{BUFFER, Copying, pump};

/// The link that points at the version in use.
pub(crate) const CURRENT: &str = "current";

/// A version that is being made; dropped before it is finished, it is removed.
pub(crate) struct Staging {
    home: PathBuf,
    version: String,
    mark: String,
    dir: PathBuf,
}

/// A file that is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) digest: Digest,
    pub(crate) mode: u32,
}

impl Staging {
    /// Begins `<home>/<version>.new-<mark>`, after removing what earlier runs left unfinished.
    pub(crate) fn begin(home: &Path, version: &str, mark: &str) -> anyhow::Result<Self> {
        folder(home)?;
        for entry in std::fs::read_dir(home).with_context(|| format!("listing {}", home.display()))? {
            let entry = entry.with_context(|| format!("listing {}", home.display()))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.contains(".new-") || name.contains(".old-") {
                remove(&entry.path())?;
            }
        }
        let dir = home.join(format!("{version}.new-{mark}"));
        folder(&dir)?;
        Ok(Self { home: home.into(), version: version.into(), mark: mark.into(), dir })
    }

    /// Writes one file, with exactly this mode, and gives its digest. `name` may lie in folders below the version's.
    pub(crate) fn file(&self, name: &str, mode: u32, from: &mut dyn Read) -> Result<Digest, Copying> {
        let path = self.dir.join(name);
        let writing = || format!("writing {}", path.display());
        if let Some(parent) = path.parent() {
            folder(parent).map_err(Copying::Writing)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&path).with_context(writing).map_err(Copying::Writing)?;
        let mut hash = sha2::Sha256::new();
        pump(
            |buffer| from.read(buffer),
            |bytes| {
                file.write_all(bytes).with_context(writing)?;
                hash.update(bytes);
                Ok(())
            },
        )?;
        own(&file, mode).and_then(|()| file.sync_all()).with_context(writing).map_err(Copying::Writing)?;
        Ok(Digest::of(hash.finalize().into()))
    }

    /// Where it is while it is made.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether another folder stands in its place.
    pub(crate) fn replaces(&self) -> bool {
        self.home.join(&self.version).symlink_metadata().is_ok()
    }

    /// Puts the version in its place, durably. One that stands there is moved away first, and removed last.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        sync_folders(&self.dir)?;
        let place = self.home.join(&self.version);
        let old = self.home.join(format!("{}.old-{}", self.version, self.mark));
        let replaced = place.symlink_metadata().is_ok();
        if replaced {
            std::fs::rename(&place, &old).with_context(|| format!("moving {} away", place.display()))?;
        }
        std::fs::rename(&self.dir, &place).with_context(|| format!("renaming {}", self.dir.display()))?;
        sync_folder(&self.home)?;
        if replaced { remove(&old) } else { Ok(()) }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone when it was finished; whatever else stands in the way of removing it meets the next run too, which says so.
        let _gone = std::fs::remove_dir_all(&self.dir);
    }
}

/// The version in use.
pub(crate) fn current(home: &Path) -> Option<PathBuf> {
    std::fs::read_link(home.join(CURRENT)).ok()
}

/// Makes `<home>/current` point at this version, in one step. Whether that changed anything.
pub(crate) fn point(home: &Path, version: &str) -> anyhow::Result<bool> {
    let link = home.join(CURRENT);
    if current(home).is_some_and(|target| target == Path::new(version)) {
        return Ok(false);
    }
    let fresh = home.join(format!("{CURRENT}.new-link"));
    remove(&fresh)?;
    std::os::unix::fs::symlink(version, &fresh).with_context(|| format!("linking {}", fresh.display()))?;
    std::fs::rename(&fresh, &link).with_context(|| format!("switching {}", link.display()))?;
    sync_folder(home)?;
    Ok(true)
}

/// A regular file's digest and permission bits; `None` when there is none.
pub(crate) fn measure(path: &Path) -> anyhow::Result<Option<Found>> {
    let reading = || format!("reading {}", path.display());
    match path.symlink_metadata() {
        Ok(found) if found.is_file() => {}
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(reading),
    }
    let mut file =
        OpenOptions::new().read(true).custom_flags(OFlag::O_NOFOLLOW.bits()).open(path).with_context(reading)?;
    let mode = file.metadata().with_context(reading)?.permissions().mode() & 0o7777;
    let (mut hash, mut buffer) = (sha2::Sha256::new(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Some(Found { digest: Digest::of(hash.finalize().into()), mode })),
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(reading),
        }
    }
}

/// A small text file, when it is there, is text and is at most `most` bytes long.
pub(crate) fn text(path: &Path, most: u64) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(most + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= most).then_some(text)
}

/// A folder, 0755 whatever the umask, with those above it. One that is there keeps its mode.
fn folder(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    let make = || {
        DirBuilder::new().mode(0o700).create(path)?;
        own(&File::open(path)?, 0o755)
    };
    make().with_context(|| format!("making {}", path.display()))
}

/// Root's, where we are root, with exactly this mode.
fn own(file: &File, mode: u32) -> io::Result<()> {
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::fchown(file, Some(0), Some(0))?;
    }
    file.set_permissions(Permissions::from_mode(mode))
}

fn sync_folder(path: &Path) -> anyhow::Result<()> {
    File::open(path).and_then(|dir| dir.sync_all()).with_context(|| format!("writing {} to the disk", path.display()))
}

/// All folders of a tree, the inner ones first; the files have been written to the disk one by one.
fn sync_folders(path: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(path).with_context(|| format!("listing {}", path.display()))? {
        let entry = entry.with_context(|| format!("listing {}", path.display()))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_folders(&entry.path())?;
        }
    }
    sync_folder(path)
}

/// A file, link or whole tree, if it is there.
fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
    };
    removed.with_context(|| format!("removing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_do_not_depend_on_the_umask_and_folders_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("opt/x");
        let staging = Staging::begin(&home, "1", "m").unwrap();
        staging.file("bin/deep/program", 0o755, &mut b"p".as_slice()).unwrap();
        staging.file("notes", 0o644, &mut b"n".as_slice()).unwrap();
        staging.finish().unwrap();
        let mode = |path: &str| home.join(path).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode("1/bin/deep/program"), 0o755);
        assert_eq!(mode("1/notes"), 0o644);
        for made in ["", "1", "1/bin", "1/bin/deep"] {
            assert_eq!(mode(made), 0o755, "{made:?}");
        }
    }

    #[test]
    fn an_unfinished_version_leaves_nothing_and_a_killed_one_is_swept_up() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("x");
        std::fs::create_dir_all(home.join("1.new-killed/bin")).unwrap();
        std::fs::create_dir_all(home.join("0.old-killed")).unwrap();
        let staging = Staging::begin(&home, "1", "m").unwrap();
        staging.file("program", 0o755, &mut b"p".as_slice()).unwrap();
        drop(staging);
        let left: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn the_link_is_switched_only_when_it_points_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        assert!(point(folder.path(), "1").unwrap());
        assert!(!point(folder.path(), "1").unwrap());
        assert!(point(folder.path(), "2").unwrap());
        assert_eq!(std::fs::read_link(folder.path().join(CURRENT)).unwrap(), Path::new("2"));
    }
}
