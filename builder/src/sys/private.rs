//! What is nobody else's to read: a file of secrets, who may read it, and what it names elsewhere.
//! May not look at what is in it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::stage::Stage;

/// The permission bits of a file that is there; `None` of what is no plain file, as a pipe, which nobody else can open.
pub fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|there| there.permissions().mode() & 0o7777)
}

/// Whether something is there, even a link to nothing.
pub fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Writes a new file, mode 0600, whole or not at all. `false` when something is there already, which is left as it is.
pub fn create(path: &Path, bytes: &[u8]) -> Result<bool> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writing = || format!("writing {}", path.display());
    // tempfile makes its files 0600 whatever the umask is
    let staged = Stage::within(folder).with_context(writing)?;
    let mut beside = tempfile::NamedTempFile::new_in(staged.path()).with_context(writing)?;
    beside.write_all(bytes).and_then(|()| beside.as_file().sync_all()).with_context(writing)?;
    match beside.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(refused) if refused.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(refused) => Err(refused.error).with_context(writing),
    }
}

/// Replaces a plain file, whole or not at all; then it is mode 0600, and its owner's as before. Where a link stands, what it leads to is replaced.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let writing = || format!("writing {}", path.display());
    let real = path.canonicalize().with_context(writing)?;
    let folder = real.parent().expect("a plain file lies in a folder");
    let there = fs::metadata(&real).with_context(writing)?;
    let staged = Stage::within(folder).with_context(writing)?;
    let mut beside = tempfile::NamedTempFile::new_in(staged.path()).with_context(writing)?;
    let made = beside.as_file().metadata().with_context(writing)?;
    if (made.uid(), made.gid()) != (there.uid(), there.gid()) {
        fchown(beside.as_file(), Some(there.uid()), Some(there.gid())).with_context(writing)?;
    }
    beside.write_all(bytes).and_then(|()| beside.as_file().sync_all()).with_context(writing)?;
    beside.persist(&real).map(drop).map_err(|refused| refused.error).with_context(writing)
}

/// A variable of the environment, when it is set.
pub fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests look at what was written")]

    use super::*;

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_is_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.yaml");
        assert!(!is_there(&path) && mode(&path).is_none());
        assert!(create(&path, b"one").unwrap());
        assert_eq!(mode(&path), Some(0o600));
        assert!(!create(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside");
    }

    #[test]
    fn a_file_is_replaced_where_a_link_leads_and_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("real.yaml"), folder.path().join("secrets.yaml"));
        fs::write(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink("real.yaml", &link).unwrap();
        replace(&link, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), Some(0o600)));
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something was left beside");
    }

    #[test]
    fn a_link_to_nothing_is_something() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("secrets.yaml");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        assert!(is_there(&link));
        assert!(!create(&link, b"one").unwrap());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let error = format!("{:#}", create(Path::new("/nowhere/at/all.yaml"), b"one").unwrap_err());
        assert!(error.starts_with("writing /nowhere/at/all.yaml: "), "{error}");
    }
}
