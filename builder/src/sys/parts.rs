//! Small files of a test boot: written, read and removed below its own folder.
//! May not decide where that folder is.
#![expect(clippy::disallowed_methods, reason = "a room of sys: writes files")]

use std::path::Path;

use anyhow::Context as _;

use super::stage::Stage;
use super::{read, write};

/// Writes a file, whole or not at all when it replaces one; its folders are made.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let doing = || format!("writing {}", path.display());
    write::replaceable(path)?;
    std::fs::create_dir_all(folder).with_context(doing)?;
    let staged = Stage::within(folder).with_context(doing)?;
    let mut beside = tempfile::Builder::new().permissions(ordinary()).tempfile_in(staged.path()).with_context(doing)?;
    beside.write_all(bytes).with_context(doing)?;
    beside.persist(path).with_context(doing)?;
    Ok(())
}

/// 0644 as far as the umask allows.
fn ordinary() -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::Permissions::from_mode(0o644)
}

/// Reads a file.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = read::bounded(path, u64::MAX - 1).map_err(|refused| refused.told(u64::MAX));
    read.with_context(|| format!("reading {}", path.display()))
}

/// Reads a file that may not be there.
pub fn read_if_there(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match read::bounded(path, u64::MAX - 1) {
        Err(refused) if refused.is_absent() => Ok(None),
        other => {
            let read = other.map(Some).map_err(|refused| refused.told(u64::MAX));
            read.with_context(|| format!("reading {}", path.display()))
        }
    }
}

/// Removes a file.
pub fn remove(path: &Path) -> anyhow::Result<()> {
    std::fs::remove_file(path).with_context(|| format!("removing {}", path.display()))
}

/// Removes a file if it is there.
pub fn clear(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// A folder for a machine, that is removed with what is in it.
pub fn scratch() -> anyhow::Result<Stage> {
    Stage::unheld(&std::env::temp_dir()).context("making a folder for the machine")
}
