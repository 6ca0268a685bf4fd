//! Writing a set of files below a folder, all or nothing: first all of them beside, then renamed to their places.
//! May not decide what is written.
#![expect(clippy::disallowed_methods, reason = "a room of sys: the only one that writes what `anymetal` makes")]

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::read;
use super::stage::{self, Stage};

/// Modes of what is written, whatever the umask: anybody may read it, as a web server has to; but for what only its owner may.
const OPEN_MODE: u32 = 0o644;
const PRIVATE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o755;

/// A file to be written.
#[derive(Debug, Clone)]
pub struct Entry<'b> {
    path: PathBuf,
    bytes: &'b [u8],
    mode: u32,
}

impl<'b> Entry<'b> {
    /// A file that anybody may read.
    pub fn open(path: impl Into<PathBuf>, bytes: &'b [u8]) -> Self {
        Self { path: path.into(), bytes, mode: OPEN_MODE }
    }

    /// A file that only its owner may read.
    pub fn private(path: impl Into<PathBuf>, bytes: &'b [u8]) -> Self {
        Self { path: path.into(), bytes, mode: PRIVATE_MODE }
    }
}

/// Makes these files be below `folder`, which is made when it is not there. Files that have these bytes already are not
/// touched, and neither is anything else in the folder. They are put in place in the order given, each whole: name what refers to others last.
pub fn files(folder: &Path, files: &[Entry<'_>]) -> Result<()> {
    stage::sweep(parent(folder));
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
fn create(folder: &Path, files: &[Entry<'_>]) -> Result<()> {
    let parent = parent(folder);
    make_folder(parent)?;
    let staged = Stage::within(parent)?;
    let whole = staged.path().join("whole");
    make_folder(&whole)?;
    for file in files {
        put(&whole, file)?;
    }
    allow(&whole, FOLDER_MODE)?;
    stage::commit(|| fs::rename(&whole, folder)).with_context(|| format!("making {}", folder.display()))?;
    sync(parent)
}

/// The folder around it.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// In a folder that is there each changed file is replaced; nothing is, when one of them cannot be written.
fn update(folder: &Path, files: &[Entry<'_>]) -> Result<()> {
    stage::sweep(folder);
    let mut changed = Vec::new();
    for file in files {
        if !has(folder, file)? {
            changed.push(file);
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    let staged = Stage::within(folder)?;
    for file in &changed {
        put(staged.path(), file)?;
    }
    stage::commit(|| changed.into_iter().try_for_each(|file| place(staged.path(), folder, file)))
}

/// Puts a file that is staged in its place.
fn place(staged: &Path, folder: &Path, Entry { path, .. }: &Entry<'_>) -> Result<()> {
    let place = folder.join(path);
    let parent = place.parent().unwrap_or(folder);
    make_folder(parent)?;
    fs::rename(staged.join(path), &place).with_context(|| format!("putting {} in place", place.display()))?;
    sync(parent)
}

/// Whether the file is there with its bytes and its mode.
fn has(folder: &Path, Entry { path, bytes, mode }: &Entry<'_>) -> Result<bool> {
    let path = &folder.join(path);
    let looking = || format!("looking at {}", path.display());
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => bail!("{} is a folder\nhint: name another output, or remove it", path.display()),
        Ok(there) if !there.is_file() && !there.is_symlink() => bail!(
            "{} is {}, not a regular file\nhint: name another output, or remove it",
            path.display(),
            read::odd(there.file_type())
        ),
        Ok(there) if !there.is_file() || there.len() != bytes.len() as u64 => Ok(false),
        Ok(there) => {
            Ok(there.permissions().mode() & 0o7777 == *mode && fs::read(path).with_context(looking)? == *bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(looking),
    }
}

fn put(folder: &Path, Entry { path, bytes, mode }: &Entry<'_>) -> Result<()> {
    let path = &folder.join(path);
    if let Some(parent) = path.parent() {
        make_folder(parent)?;
    }
    let write = || -> io::Result<()> {
        // nobody else's before it is known whose it is
        let mut file = File::options().write(true).create_new(true).mode(PRIVATE_MODE).open(path)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(*mode))?;
        file.sync_all()
    };
    write().with_context(|| format!("writing {}", path.display()))
}

/// The folder and all it lies in; only those that are made get a mode.
pub(super) fn make_folder(path: &Path) -> Result<()> {
    let missing: Vec<_> =
        path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder).with_context(|| format!("making {}", folder.display()))?;
        allow(folder, FOLDER_MODE)?;
    }
    Ok(())
}

/// Nothing when this may become a file that replaces what is there: a regular file, or a link to one. A device would be gone.
pub(super) fn replaceable(path: &Path) -> Result<()> {
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => bail!("{} is a folder\nhint: name another output", path.display()),
        Ok(there) if !there.is_file() => {
            let odd = read::odd(there.file_type());
            bail!("{} is {odd}, not a regular file\nhint: name another output", path.display())
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("looking at {}", path.display())),
    }
}

fn allow(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
        .with_context(|| format!("setting the mode of {}", path.display()))
}

/// A rename is durable once its folder is.
pub(super) fn sync(folder: &Path) -> Result<()> {
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
        files(&out, &[Entry::open("sha256/x", ONE), Entry::open("user-data", b"two")]).unwrap();
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
        files(dir.path(), &[Entry::open("same", ONE), Entry::open("other", ONE)]).unwrap();
        let inode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().ino();
        let before = (inode("same"), inode("other"));
        files(dir.path(), &[Entry::open("same", ONE), Entry::open("other", b"two")]).unwrap();
        assert_eq!(inode("same"), before.0);
        assert_ne!(inode("other"), before.1);
        assert_eq!(listing(dir.path()), ["other", "same", "stranger"]);
        fs::set_permissions(dir.path().join("same"), Permissions::from_mode(0o600)).unwrap();
        files(dir.path(), &[Entry::open("same", ONE)]).unwrap();
        assert_eq!(fs::metadata(dir.path().join("same")).unwrap().mode() & 0o7777, 0o644);
    }

    #[test]
    fn what_is_private_is_its_owners_alone_and_stays_so() {
        let dir = tempfile::tempdir().unwrap();
        let mode = || fs::metadata(dir.path().join("a")).unwrap().mode() & 0o7777;
        files(dir.path(), &[Entry::open("a", ONE)]).unwrap();
        assert_eq!(mode(), 0o644);
        files(dir.path(), &[Entry::private("a", ONE)]).unwrap();
        assert_eq!(mode(), 0o600);
        files(dir.path(), &[Entry::private("a", b"two")]).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn nothing_changes_when_one_of_the_files_cannot_be_written() {
        let dir = tempfile::tempdir().unwrap();
        files(dir.path(), &[Entry::open("a", ONE)]).unwrap();
        // a name longer than a file system takes: root is stopped by it too
        let error = files(dir.path(), &[Entry::open("a", b"two"), Entry::open("b".repeat(300), b"two")]).unwrap_err();
        assert!(error.chain().count() > 1, "{error:#}");
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), ONE);
        assert_eq!(listing(dir.path()), ["a"]);

        let fresh = dir.path().join("fresh");
        files(&fresh, &[Entry::open("a", ONE), Entry::open("b".repeat(300), b"two")]).unwrap_err();
        assert_eq!(listing(dir.path()), ["a"]);
    }

    #[test]
    fn a_file_where_a_folder_should_be_and_the_other_way_round_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = files(&file, &[Entry::open("a", ONE)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{} is not a folder\nhint: ", file.display())), "{error}");
        fs::create_dir(dir.path().join("a")).unwrap();
        let error = files(dir.path(), &[Entry::open("a", ONE)]).unwrap_err().to_string();
        assert!(error.contains("a is a folder\nhint: "), "{error}");
    }
}
