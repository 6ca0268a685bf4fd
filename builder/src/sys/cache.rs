//! This user's cache: things that are made once, under a name that says what they are, and found again.
//! May not know what is kept: whoever makes it does.
#![expect(clippy::disallowed_methods, reason = "a room of sys: makes, locks and renames folders")]

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// `$XDG_CACHE_HOME/anymetal`, or `~/.cache/anymetal` (XDG Base Directory Specification).
pub fn root() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("anymetal"))
        .context("finding a place for the cache: neither XDG_CACHE_HOME nor HOME is an absolute path")
}

/// The folder `root/name`, made by `make` if it is not there: made beside, renamed when whole, by one process at a time.
/// `waiting` is called when another process is at it.
pub fn once(
    root: &Path,
    name: &str,
    waiting: impl FnOnce(),
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let finished = root.join(name);
    if finished.is_dir() {
        return Ok(finished);
    }
    std::fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
    let lock_path = root.join(format!(".{name}.lock"));
    let lock = File::create(&lock_path).with_context(|| format!("making {}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            waiting();
            lock.lock().with_context(|| format!("waiting for {}", lock_path.display()))?;
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("locking {}", lock_path.display()));
        }
    }
    if finished.is_dir() {
        return Ok(finished); // the one we waited for made it
    }
    sweep(root, name);
    let part = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .tempdir_in(root)
        .with_context(|| format!("making a folder in {}", root.display()))?;
    make(part.path())?;
    std::fs::rename(part.path(), &finished)
        .with_context(|| format!("renaming what was made to {}", finished.display()))?;
    let _renamed_away = part.keep();
    Ok(finished)
}

/// Removes what was left of that name half made: whoever has its lock knows that nobody is at it.
fn sweep(root: &Path, name: &str) {
    let (prefix, lock) = (format!(".{name}."), format!(".{name}.lock"));
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) && *name != *lock {
            let _stays = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_two_want_at_once_is_made_once() {
        let root = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        let want = || {
            once(
                root.path(),
                "thing",
                || {},
                |part| {
                    made.fetch_add(1, Ordering::SeqCst);
                    Ok(std::fs::write(part.join("file"), "whole")?)
                },
            )
        };
        std::thread::scope(|scope| {
            let wanted: Vec<_> = (0..4).map(|_| scope.spawn(want)).collect();
            for one in wanted {
                assert_eq!(std::fs::read_to_string(one.join().unwrap().unwrap().join("file")).unwrap(), "whole");
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_could_not_be_made_leaves_nothing_and_is_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let failing = once(
            root.path(),
            "thing",
            || {},
            |part| {
                std::fs::write(part.join("half"), "")?;
                anyhow::bail!("no luck")
            },
        );
        assert_eq!(failing.unwrap_err().to_string(), "no luck");
        let left: Vec<_> = std::fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".thing.lock"]);
        assert!(once(root.path(), "thing", || {}, |_| Ok(())).unwrap().is_dir());
    }
}
