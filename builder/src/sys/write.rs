//! Writing a set of files below a folder, all or nothing: first all of them beside, then renamed to their places.
//! May not decide what is written.
#![expect(clippy::disallowed_methods, reason = "a room of sys: the only one that writes what `anymetal` makes")]

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Modes of what is written, whatever the umask: anybody may read it, as a web server has to.
const FILE_MODE: u32 = 0o644;
const FOLDER_MODE: u32 = 0o755;

/// Makes these files (relative path, bytes) be below `folder`, which is made when it is not there. Files that have these bytes already are not
/// touched, and neither is anything else in the folder. They are put in place in the order given, each whole: name what refers to others last.
pub fn files(folder: &Path, files: &[(PathBuf, &[u8])]) -> Result<()> {
    if accepts(folder)? { update(folder, files) } else { create(folder, files) }
}

/// Whether the folder is there already. An error when something else is.
pub fn accepts(folder: &Path) -> Result<bool> {
    match fs::metadata(folder) {
        Ok(there) if there.is_dir() => Ok(true),
        Ok(_) => bail!("{} is not a folder\nhint: name another one, or remove it", folder.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("looking at {}", folder.display())),
    }
}

/// A new folder appears whole.
fn create(folder: &Path, files: &[(PathBuf, &[u8])]) -> Result<()> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_folder(parent)?;
    let staged = stage(parent)?;
    for (path, bytes) in files {
        put(&staged.path().join(path), bytes)?;
    }
    allow(staged.path(), FOLDER_MODE)?;
    fs::rename(staged.path(), folder).with_context(|| format!("making {}", folder.display()))?;
    let _now_the_folder = staged.keep();
    sync(parent)
}

/// In a folder that is there each changed file is replaced; nothing is, when one of them cannot be written.
fn update(folder: &Path, files: &[(PathBuf, &[u8])]) -> Result<()> {
    let mut changed = Vec::new();
    for (path, bytes) in files {
        if !has(&folder.join(path), bytes)? {
            changed.push((path, bytes));
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let staged = stage(folder)?;
    for (path, bytes) in &changed {
        put(&staged.path().join(path), bytes)?;
    }
    for (path, _) in changed {
        let place = folder.join(path);
        let parent = place.parent().unwrap_or(folder);
        make_folder(parent)?;
        fs::rename(staged.path().join(path), &place)
            .with_context(|| format!("putting {} in place", place.display()))?;
        sync(parent)?;
    }
    Ok(())
}

/// Whether the file is there with these bytes and its mode.
fn has(path: &Path, bytes: &[u8]) -> Result<bool> {
    let looking = || format!("looking at {}", path.display());
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => bail!("{} is a folder\nhint: name another output, or remove it", path.display()),
        Ok(there) if !there.is_file() || there.len() != bytes.len() as u64 => Ok(false),
        Ok(there) => {
            Ok(there.permissions().mode() & 0o7777 == FILE_MODE && fs::read(path).with_context(looking)? == bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(looking),
    }
}

/// A folder for what is not in place yet; it goes away by itself.
fn stage(within: &Path) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(".anymetal-")
        .tempdir_in(within)
        .with_context(|| format!("making a temporary folder in {}", within.display()))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let write = || -> io::Result<()> {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
        file.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// The folder and all it lies in; only those that are made get a mode.
fn make_folder(path: &Path) -> Result<()> {
    let missing: Vec<_> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
        allow(folder, FOLDER_MODE)?;
    }
    Ok(())
}

fn allow(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}

/// A rename is durable once its folder is.
fn sync(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("syncing {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    const ONE: &[u8] = b"one";

    fn listing(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_folder_appears_with_all_files_and_fixed_modes() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("a/b/out");
        files(&out, &[("sha256/x".into(), ONE), ("user-data".into(), b"two")]).unwrap();
        assert_eq!(listing(&out), ["sha256", "user-data"]);
        assert_eq!(fs::read(out.join("sha256/x")).unwrap(), ONE);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&out), mode(&out.join("sha256")), mode(&out.join("user-data"))), (0o755, 0o755, 0o644));
        assert_eq!(listing(&dir.path().join("a/b")), ["out"], "something was left beside");
    }

    #[test]
    fn what_is_the_same_is_not_touched_and_strangers_stay() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("stranger"), "x").unwrap();
        files(dir.path(), &[("same".into(), ONE), ("other".into(), ONE)]).unwrap();
        let inode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
        let before = (inode("same"), inode("other"));
        files(dir.path(), &[("same".into(), ONE), ("other".into(), b"two")]).unwrap();
        assert_eq!(inode("same"), before.0);
        assert_ne!(inode("other"), before.1);
        assert_eq!(listing(dir.path()), ["other", "same", "stranger"]);
        fs::set_permissions(dir.path().join("same"), Permissions::from_mode(0o600)).unwrap();
        files(dir.path(), &[("same".into(), ONE)]).unwrap();
        assert_eq!(fs::metadata(dir.path().join("same")).unwrap().mode() & 0o7777, 0o644);
    }

    #[test]
    fn nothing_changes_when_one_of_the_files_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path(), &[("a".into(), ONE)]).unwrap();
        // a name longer than a file system takes: root is stopped by it too
        let error = files(dir.path(), &[("a".into(), b"two"), ("b".repeat(300).into(), b"two")]).unwrap_err();
        assert!(error.chain().count() > 1, "{error:#}");
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), ONE);
        assert_eq!(listing(dir.path()), ["a"]);

        let fresh = dir.path().join("fresh");
        files(&fresh, &[("a".into(), ONE), ("b".repeat(300).into(), b"two")]).unwrap_err();
        assert_eq!(listing(dir.path()), ["a"]);
    }

    #[test]
    fn a_file_where_a_folder_should_be_and_the_other_way_round_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = files(&file, &[("a".into(), ONE)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} is not a folder\nhint: ", file.display())), "{error}");
        fs::create_dir(dir.path().join("a")).unwrap();
        let error = files(dir.path(), &[("a".into(), ONE)]).unwrap_err().to_string();
        assert!(error.contains("a is a folder\nhint: "), "{error}");
    }
}
