//! Files: read whole, replaced whole, appended to by lines.
//! May not know what is in them, nor where they belong.
#![expect(clippy::disallowed_methods, reason = "side effects live in sys/; this is the room for files")]

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::owner::Owner;

/// The most that is read of one file, in bytes: ten times this program, which is the longest that anybody reads whole.
const MOST: u64 = 64 << 20;

/// The whole file. Fails when there is something else than a file: a pipe or a device would be read for ever.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    read_whole(path).with_context(|| format!("reading {}", path.display()))
}

/// The whole file, or nothing when there is none.
pub(crate) fn read_if_there(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match read_whole(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some).with_context(|| format!("reading {}", path.display())),
    }
}

fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    let file = open_file(path, nix::fcntl::OFlag::empty())?;
    let mut bytes = Vec::new();
    file.take(MOST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST {
        return Err(io::Error::other(format!("it is longer than {MOST} bytes")));
    }
    Ok(bytes)
}

/// Opens a file for reading, and nothing that is none: opening a pipe would wait for whoever writes to it.
fn open_file(path: &Path, flags: nix::fcntl::OFlag) -> io::Result<File> {
    let flags = flags | nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it exists and is not a regular file"));
    }
    Ok(file)
}

/// When a file's bytes were last changed; nothing when there is no file.
pub(crate) fn changed(path: &Path) -> anyhow::Result<Option<std::time::SystemTime>> {
    match fs::symlink_metadata(path).and_then(|found| found.modified()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        changed => changed.map(Some).with_context(|| format!("looking at {}", path.display())),
    }
}

/// The file, open for reading, or nothing when there is none. A link in its place is not followed.
pub(crate) fn open_if_there(path: &Path) -> anyhow::Result<Option<File>> {
    match open_file(path, nix::fcntl::OFlag::O_NOFOLLOW) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).with_context(|| format!("opening {}", path.display())),
    }
}

/// The whole file as text.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    let text = read_whole(path).and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    text.with_context(|| format!("reading {}", path.display()))
}

/// Whether there is something at a path, whatever it is.
pub(crate) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Removes a file. Says whether there was one.
pub(crate) fn remove(path: &Path) -> anyhow::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true).with_context(|| format!("removing {}", path.display())),
    }
}

/// What is at a path; a symbolic link is not followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    File { mode: u32, owner: Owner },
    Link,
    Folder,
    Other,
}

/// Looks what is there.
pub(crate) fn look(path: &Path) -> anyhow::Result<Found> {
    let seen = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        seen => seen.with_context(|| format!("looking at {}", path.display()))?,
    };
    Ok(if seen.is_file() {
        Found::File { mode: seen.mode() & 0o7777, owner: Owner { uid: seen.uid(), gid: seen.gid() } }
    } else if seen.is_symlink() {
        Found::Link
    } else if seen.is_dir() {
        Found::Folder
    } else {
        Found::Other
    })
}

/// Makes a folder of this mode, and what leads to it with 0755, where they are not there yet.
pub(crate) fn make_folder(path: &Path, mode: u32) -> anyhow::Result<()> {
    let make = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
    make(folder_of(path), 0o755)
        .and_then(|()| make(path, mode))
        .with_context(|| format!("making the folder {}", path.display()))
}

/// Makes it so that there is a folder of this owner and mode. Says whether anything had to be done. What is in it is left alone.
pub(crate) fn own_folder(path: &Path, owner: Owner, mode: u32) -> anyhow::Result<bool> {
    let doing = || format!("setting owner and mode of {}", path.display());
    make_folder(path, mode)?;
    let seen = fs::symlink_metadata(path).with_context(doing)?;
    if (seen.uid(), seen.gid(), seen.mode() & 0o7777) == (owner.uid, owner.gid, mode) {
        return Ok(false);
    }
    chown(path, Some(owner.uid), Some(owner.gid)).with_context(doing)?;
    fs::set_permissions(path, Permissions::from_mode(mode)).with_context(doing)?;
    Ok(true)
}

/// Sets a folder's mode.
pub(crate) fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    let set = fs::set_permissions(path, Permissions::from_mode(mode));
    set.with_context(|| format!("setting the mode of {}", path.display()))
}

/// Moves a file, replacing what is there.
pub(crate) fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to).with_context(|| format!("renaming {} to {}", from.display(), to.display()))
}

/// A whole new file beside the one it is to replace. Removed again unless it is put in place.
pub(crate) struct Candidate {
    target: PathBuf,
    path: PathBuf,
    file: File,
    placed: bool,
}

impl Candidate {
    /// Writes `bytes` beside `target`; readable for the owner alone until [`Self::give`]. What an interrupted run left there is removed.
    pub(crate) fn beside(target: &Path, bytes: &[u8]) -> anyhow::Result<Self> {
        let name = target.file_name().with_context(|| format!("writing {}: it names no file", target.display()))?;
        make_folder(folder_of(target), 0o755)?;
        let path = target.with_file_name(format!(".{}.anymetal-new", name.to_string_lossy()));
        let doing = || format!("writing {}", path.display());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(doing),
            _ => {}
        }
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).with_context(doing)?;
        let mut candidate = Self { target: target.to_owned(), path: path.clone(), file, placed: false };
        candidate.file.write_all(bytes).with_context(doing)?;
        Ok(candidate)
    }

    /// Where it is now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Sets owner, when there is one to set, and then the mode: a change of owner may clear bits of the mode.
    pub(crate) fn give(&self, owner: Option<Owner>, mode: u32) -> anyhow::Result<()> {
        let doing = || format!("setting owner and mode of {}", self.path.display());
        if let Some(owner) = owner {
            chown(&self.path, Some(owner.uid), Some(owner.gid)).with_context(doing)?;
        }
        self.file.set_permissions(Permissions::from_mode(mode)).with_context(doing)
    }

    /// Writes it to the disk, so that [`Self::place`] has little left to do.
    pub(crate) fn sync(&self) -> anyhow::Result<()> {
        self.file.sync_all().with_context(|| format!("writing {}", self.path.display()))
    }

    /// Puts it in place of the target, so that after a power cut there is one of the two, whole.
    pub(crate) fn place(mut self) -> anyhow::Result<()> {
        self.sync()?;
        self.swap()?;
        let folder = folder_of(&self.target);
        File::open(folder).and_then(|folder| folder.sync_all()).with_context(|| format!("syncing {}", folder.display()))
    }

    fn swap(&mut self) -> anyhow::Result<()> {
        rename(&self.path, &self.target)?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if !self.placed {
            let _removed_by_the_next_run_otherwise = fs::remove_file(&self.path);
        }
    }
}

/// Replaces a file whole; after a power cut there is the old or the new one.
pub(crate) fn replace(target: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let candidate = Candidate::beside(target, bytes)?;
    candidate.give(None, mode)?;
    candidate.place()
}

/// Replaces a file whole for its readers; which of the two a power cut leaves does not matter.
pub(crate) fn replace_lightly(target: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut candidate = Candidate::beside(target, bytes)?;
    candidate.give(None, mode)?;
    candidate.swap()
}

fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file that only grows, by whole lines.
#[derive(Debug)]
pub(crate) struct Appender {
    file: File,
    length: u64,
}

impl Appender {
    /// Opens the file, or makes it, and cuts it to this length.
    pub(crate) fn open(path: &Path, length: u64) -> anyhow::Result<Self> {
        let doing = || format!("opening {}", path.display());
        make_folder(folder_of(path), 0o755)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o644).open(path).with_context(doing)?;
        if file.metadata().with_context(doing)?.len() != length {
            file.set_len(length).with_context(doing)?;
        }
        Ok(Self { file, length })
    }

    /// How long the file is, in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends one line, whole or not at all. With `durably` it outlives a power cut.
    pub(crate) fn line(&mut self, line: &str, durably: bool) -> io::Result<()> {
        let whole = format!("{line}\n");
        if let Err(error) = self.file.write_all(whole.as_bytes()) {
            // A full disk may have taken a part of it. Where it cannot be cut off again, readers tolerate it.
            let _torn_line = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += whole.len() as u64;
        if durably { self.file.sync_data() } else { Ok(()) }
    }
}

/// The end of a file: at most `most` bytes, and where they begin. Nothing when there is no file.
pub(crate) fn tail(path: &Path, most: u64) -> anyhow::Result<(u64, Vec<u8>)> {
    let doing = || format!("reading the end of {}", path.display());
    let mut file = match open_file(path, nix::fcntl::OFlag::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, Vec::new())),
        opened => opened.with_context(doing)?,
    };
    let length = file.metadata().with_context(doing)?.len();
    let start = length.saturating_sub(most);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).with_context(doing)?;
    file.take(most).read_to_end(&mut bytes).with_context(doing)?;
    Ok((start, bytes))
}

/// The lines of a file, one after the other; none when it cannot be opened, and none after one that cannot be read.
pub(crate) fn lines(path: &Path) -> impl Iterator<Item = String> + use<> {
    open_file(path, nix::fcntl::OFlag::empty())
        .ok()
        .into_iter()
        .flat_map(|file| BufReader::new(file).lines().map_while(Result::ok))
}

/// The names of the files in a folder, sorted; none when it cannot be read.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_removed_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "text").unwrap();
        assert!(is_there(&path) && remove(&path).unwrap());
        assert!(!is_there(&path) && !remove(&path).unwrap());
        assert!(remove(folder.path()).is_err(), "a folder is no file");
    }

    #[test]
    fn a_replaced_file_is_whole_has_its_mode_and_leaves_nothing_beside() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("deep/er/file");
        replace(&target, b"one", 0o644).unwrap();
        replace(&target, b"two", 0o640).unwrap();
        assert_eq!(read(&target).unwrap(), b"two");
        assert!(matches!(look(&target).unwrap(), Found::File { mode: 0o640, .. }));
        assert_eq!(names(target.parent().unwrap()), ["file"]);
    }

    #[test]
    fn a_candidate_that_is_not_placed_goes_and_one_left_by_a_killed_run_is_no_hindrance() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("file");
        fs::write(folder.path().join(".file.anymetal-new"), "left behind").unwrap();
        let candidate = Candidate::beside(&target, b"new").unwrap();
        assert_eq!(read(candidate.path()).unwrap(), b"new");
        drop(candidate);
        assert!(names(folder.path()).is_empty());
    }

    /// Whatever init is given may be something else than a file: then it is named at once, and not waited for.
    #[test]
    fn a_pipe_a_device_and_a_folder_in_a_files_place_are_named_and_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("machine.json");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [&pipe, Path::new("/dev/zero"), folder.path()] {
            let name = format!("{}: it exists and is not a regular file", path.display());
            for error in [
                read(path).unwrap_err(),
                read_if_there(path).unwrap_err(),
                read_text(path).unwrap_err(),
                open_if_there(path).unwrap_err(),
                tail(path, 10).unwrap_err(),
            ] {
                assert!(format!("{error:#}").ends_with(&name), "{error:#}");
            }
            assert_eq!(lines(path).count(), 0);
        }
    }

    #[test]
    fn only_the_folder_itself_gets_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("lib/state"), 0o700).unwrap();
        make_folder(&folder.path().join("lib/state"), 0o755).unwrap();
        let mode = |path: &str| fs::metadata(folder.path().join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode("lib"), mode("lib/state")), (0o755, 0o700));
    }

    #[test]
    fn a_link_is_replaced_not_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let (elsewhere, target) = (folder.path().join("elsewhere"), folder.path().join("file"));
        fs::write(&elsewhere, "precious").unwrap();
        std::os::unix::fs::symlink(&elsewhere, &target).unwrap();
        assert_eq!(look(&target).unwrap(), Found::Link);
        replace(&target, b"new", 0o644).unwrap();
        assert_eq!((read(&elsewhere).unwrap(), read(&target).unwrap()), (b"precious".to_vec(), b"new".to_vec()));
    }

    #[test]
    fn an_appender_cuts_and_grows_and_the_tail_says_where_it_begins() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/lines");
        let mut lines_of = Appender::open(&path, 0).unwrap();
        lines_of.line("first", false).unwrap();
        lines_of.line("second", true).unwrap();
        assert_eq!(tail(&path, 7).unwrap(), (6, b"second\n".to_vec()));
        Appender::open(&path, 6).unwrap().line("third", false).unwrap();
        assert_eq!(lines(&path).collect::<Vec<_>>(), ["first", "third"]);
        assert_eq!(tail(&folder.path().join("none"), 7).unwrap(), (0, Vec::new()));
    }
}
