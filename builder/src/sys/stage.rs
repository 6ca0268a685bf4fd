//! Folders for what is not in its place yet: the owner's alone, beside the place, and gone however the program ends. A signal removes them at
//! once; what a power cut or `kill -9` leaves, the next run in the same folder removes.
//! May not know what is in them.
#![expect(clippy::disallowed_methods, reason = "a room of sys: makes and removes folders")]

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use nix::unistd::geteuid;

use super::interrupt::{self, Held};

/// What their names begin with. The dot hides them from a web server that lists, and from people.
const PREFIX: &str = ".anymetal-";
/// How often a new one is tried when another process takes it for a left-over in the moment before it is locked.
const TRIES: u32 = 100;

/// Those of this process. Whoever puts files in place holds it meanwhile, so that a signal waits for all of them.
static STAGED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// One folder, removed with all that is in it when this is dropped. It is locked for as long as it is needed: by that another process knows
/// that it is no left-over.
#[derive(Debug)]
pub struct Stage {
    path: PathBuf,
    _lock: File,
    _held: Option<Held>,
}

impl Stage {
    /// A new one in that folder; left-overs there are removed. A signal that ends the program removes it first.
    pub fn within(folder: &Path) -> Result<Self> {
        Self::new(folder, Some(interrupt::hold()?))
    }

    /// The same for who hears of signals itself.
    pub fn unheld(folder: &Path) -> Result<Self> {
        Self::new(folder, None)
    }

    fn new(folder: &Path, held: Option<Held>) -> Result<Self> {
        sweep(folder);
        let making = || format!("making a temporary folder in {}", folder.display());
        let private = fs::Permissions::from_mode(0o700);
        let mut staged = staged();
        for _ in 0..TRIES {
            // 0700 from the first moment on; a umask may take more away and never gives
            let path = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(private.clone())
                .tempdir_in(folder)
                .with_context(making)?
                .keep();
            staged.push(path.clone());
            if let Some(lock) = locked(&path) {
                fs::write(path.join(".gitignore"), "*\n").with_context(making)?;
                return Ok(Self { path, _lock: lock, _held: held });
            }
            staged.pop();
        }
        bail!("{}: another process removes it every time", making())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let mut staged = staged();
        let _swept_by_the_next_run = fs::remove_dir_all(&self.path);
        staged.retain(|path| *path != self.path);
    }
}

/// Does something that a signal must not cut in two.
pub fn commit<T>(put: impl FnOnce() -> T) -> T {
    let _signals_wait = staged();
    put()
}

/// Removes all of this process, for the one who ends it: nobody makes another or puts anything in place while the guard that is given lives.
pub(super) fn clear() -> impl Drop {
    /// Somebody else may just be writing into one.
    const TIMES: u32 = 1000;
    let staged = staged();
    for path in staged.iter() {
        for _ in 0..TIMES {
            let _again = fs::remove_dir_all(path);
            if !path.exists() {
                break;
            }
        }
    }
    Cleared(staged)
}

struct Cleared(#[expect(dead_code, reason = "held, not read")] MutexGuard<'static, Vec<PathBuf>>);

impl Drop for Cleared {
    fn drop(&mut self) {}
}

/// Removes what earlier runs left in the folder: our own, and locked by nobody. What cannot be removed stays.
pub fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes());
        let path = entry.path();
        let Ok(there) = fs::symlink_metadata(&path) else { continue };
        if !ours || !there.is_dir() || there.uid() != geteuid().as_raw() {
            continue;
        }
        let Ok(lock) = File::open(&path) else { continue };
        if lock.try_lock().is_ok() {
            let _stays = fs::remove_dir_all(&path);
        }
    }
}

/// The folder's lock; nothing when somebody else has it, or has removed the folder. A file system without locks has none to give, and no sweep.
fn locked(path: &Path) -> Option<File> {
    let lock = File::open(path).ok()?;
    if let Err(TryLockError::WouldBlock) = lock.try_lock() {
        return None;
    }
    let there = fs::symlink_metadata(path);
    let same = there.is_ok_and(|there| lock.metadata().is_ok_and(|own| own.ino() == there.ino()));
    same.then_some(lock)
}

fn staged() -> MutexGuard<'static, Vec<PathBuf>> {
    STAGED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn it_is_the_owners_alone_invisible_to_git_and_gone_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let stage = Stage::within(folder.path()).unwrap();
        assert_eq!(fs::metadata(stage.path()).unwrap().permissions().mode() & 0o7777, 0o700);
        assert!(stage.path().file_name().unwrap().to_str().unwrap().starts_with(".anymetal-"));
        assert_eq!(fs::read_to_string(stage.path().join(".gitignore")).unwrap(), "*\n");
        fs::write(stage.path().join("x"), "half").unwrap();
        drop(stage);
        assert_eq!(names(folder.path()), 0);
    }

    #[test]
    fn a_left_over_is_swept_and_what_is_in_use_or_somebody_elses_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".anymetal-left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("user-data"), "hunter2").unwrap();
        let used = Stage::within(folder.path()).unwrap();
        assert!(!left.exists(), "the left-over is there still");
        for other in [".anymetal-file", "anymetal-x"] {
            fs::write(folder.path().join(other), "").unwrap();
        }
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.path().join(".anymetal-link")).unwrap();
        fs::create_dir(folder.path().join(".other")).unwrap();
        sweep(folder.path());
        assert!(used.path().exists(), "what is in use was swept");
        assert_eq!(names(folder.path()), 6);
    }
}
