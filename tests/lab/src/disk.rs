//! A disk that is too small: a tmpfs of a few KiB, seen only by the thread that asked for it and those it starts.
//! May not touch the mounts anybody else sees.

use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs `work` in a thread of its own that sees a tmpfs of so many bytes at `folder`. `None` when this process may not mount.
pub fn small<T: Send>(folder: &Path, bytes: u64, work: impl FnOnce() -> T + Send) -> Option<T> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).ok()?;
            let nothing = None::<&str>;
            mount(nothing, "/", nothing, MsFlags::MS_REC | MsFlags::MS_PRIVATE, nothing).ok()?;
            mount(Some("lab"), folder, Some("tmpfs"), MsFlags::empty(), Some(format!("size={bytes}").as_str())).ok()?;
            Some(work())
        });
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
