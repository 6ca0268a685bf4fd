//! What a power cut leaves of files that nobody synced: their names, with nothing in them. Found, and made rarer.
//! May not know whose files they are, nor remove them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// How deep below a folder is looked: the data of one program.
const DEPTH: usize = 8;

/// The files below a folder that have nothing in them; symbolic links are not followed. None when there is no such folder.
pub(crate) fn empty_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    look(folder, DEPTH, &mut found)?;
    found.sort();
    Ok(found)
}

fn look(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let doing = || format!("looking below {}", folder.display());
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(doing)?,
    };
    for entry in entries {
        let entry = entry.with_context(doing)?;
        // What goes away while it is looked at was not left behind.
        let Ok(seen) = entry.metadata() else { continue };
        if seen.is_dir() && depth > 0 {
            look(&entry.path(), depth - 1, found)?;
        } else if seen.is_file() && seen.len() == 0 {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// Has the kernel write down all that it still holds (sync(2)): what programs have written up to now outlives a power cut.
pub(crate) fn sync() {
    nix::unistd::sync();
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_plain_files_with_nothing_in_them_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("serf")).unwrap();
        for (name, content) in [("node-id", ""), ("serf/local.keyring", ""), ("raft.db", "data")] {
            fs::write(at(name), content).unwrap();
        }
        symlink("node-id", at("link")).unwrap();
        assert_eq!(empty_files(folder.path()).unwrap(), [at("node-id"), at("serf/local.keyring")]);
        fs::remove_file(at("node-id")).unwrap();
        assert_eq!(empty_files(folder.path()).unwrap(), [at("serf/local.keyring")]);
        assert!(empty_files(&at("nothing")).unwrap().is_empty());
    }
}
