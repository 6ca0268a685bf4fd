//! One run at a time: a lock that the kernel lets go of when its holder dies.
//! May not wait for it.
#![expect(clippy::disallowed_methods, reason = "side effects live in sys/; this room opens the lock file")]

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::Context as _;
use nix::fcntl::OFlag;

/// The lock; held until it is dropped.
pub(crate) struct Lock(#[expect(dead_code, reason = "holding it is its use")] File);

/// What came of asking for the lock.
pub(crate) enum Asked {
    Ours(Lock),
    /// Somebody else has it: the process of that id, when it is written there.
    Theirs(Option<u32>),
}

/// Asks for the lock at `path`, whose folder is made when it is not there.
pub(crate) fn ask(path: &Path) -> anyhow::Result<Asked> {
    let doing = || format!("locking {}", path.display());
    super::fs::make_folder(path.parent().unwrap_or(Path::new("/")), 0o755)?;
    let mut options = OpenOptions::new();
    // Whoever can open it can lock it, and so keep every run from beginning.
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(path).with_context(doing)?;
    file.set_permissions(Permissions::from_mode(0o600)).with_context(doing)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).with_context(doing)?;
            Ok(Asked::Ours(Lock(file)))
        }
        Err(TryLockError::WouldBlock) => Ok(Asked::Theirs(read_id(&mut file))),
        Err(TryLockError::Error(error)) => Err(error).with_context(doing),
    }
}

/// The process that took the lock at `path` last, when it still lives.
pub(crate) fn living_holder(path: &Path) -> Option<u32> {
    let id = read_id(&mut File::open(path).ok()?)?;
    super::process::lives(id).then_some(id)
}

fn read_id(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_asker_learns_who_has_it_until_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/run.lock");
        let Asked::Ours(held) = ask(&path).unwrap() else { panic!("a new lock was taken by somebody") };
        match ask(&path).unwrap() {
            Asked::Theirs(holder) => assert_eq!(holder, Some(std::process::id())),
            Asked::Ours(_) => panic!("the lock was given twice"),
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "whoever can open it can lock it");
        assert_eq!(living_holder(&path), Some(std::process::id()));
        drop(held);
        assert!(matches!(ask(&path).unwrap(), Asked::Ours(_)));
    }
}
