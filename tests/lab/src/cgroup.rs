//! A cgroup of a test's own, gone with all below it when it is dropped.
//! May not touch any other cgroup. Needs root.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::wait;

/// A cgroup below which systemd makes its own: without one it would take itself for the host's.
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// A new one, with nothing in it.
    pub(crate) fn new() -> anyhow::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // The named hierarchy of cgroup v1, or the only one of cgroup v2.
        let named = Path::new("/sys/fs/cgroup/systemd");
        let top = if named.is_dir() { named } else { Path::new("/sys/fs/cgroup") };
        ensure!(top.join("cgroup.procs").exists(), "looking for cgroups: there is no {}/cgroup.procs", top.display());
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = top.join(format!("anymetal-lab-{}-{number}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("making {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last processes leave a moment after they were killed.
        if !wait::until(Duration::from_secs(10), || remove(&self.0)) {
            eprintln!("the lab could not clean up: {} is still there", self.0.display());
        }
    }
}

/// Removes a cgroup and those below; only folders can be removed there, files come and go with them.
fn remove(cgroup: &Path) -> bool {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    fs::remove_dir(cgroup).is_ok() || !cgroup.exists()
}
