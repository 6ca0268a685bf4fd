//! What a power cut leaves of files that nobody synced: their names, with nothing in them. Found, removed, and made rarer.
//! May not know whose files they are, nor look at any but those that are named: what leads to one, below its folder, is a service's to change.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

/// A folder below which names are looked up part by part; no link is followed on the way.
const FOLDER: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The regular files of these names that have nothing in them, in the names' order. Fails when the folder is there and cannot be read. Names are
/// relative to the folder; the last part of one may have a single `*`. Links, devices and names that lead out of the folder are passed over.
pub(crate) fn empty_files(folder: &Path, names: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    visit(folder, names, |_, _| Ok(()))
}

/// Removes what [`empty_files`] finds, and returns what it removed. A name is removed in the very folder in which it was looked up, and only
/// while it is still the file that was looked at: whoever exchanges folders for links on the way gains nothing.
pub(crate) fn remove_empty_files(folder: &Path, names: &[String]) -> anyhow::Result<Vec<PathBuf>> {
    visit(folder, names, |parent, name| unlinkat(parent, name, UnlinkatFlags::NoRemoveDir))
}

/// Has the kernel write down all that it still holds (sync(2)): what programs have written up to now outlives a power cut.
pub(crate) fn sync() {
    nix::unistd::sync();
}

fn visit(
    folder: &Path,
    names: &[String],
    act: impl Fn(&OwnedFd, &str) -> nix::Result<()>,
) -> anyhow::Result<Vec<PathBuf>> {
    // The folder itself may be a link: systemd makes one for a service with a user of its own, in a place where only root can.
    let opened = openat(nix::fcntl::AT_FDCWD, folder, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    let opened = match opened {
        Err(Errno::ENOENT) => return Ok(Vec::new()),
        opened => opened.with_context(|| format!("opening {}", folder.display()))?,
    };
    let mut found = Vec::new();
    for name in names {
        let (parents, last) = name.rsplit_once('/').unwrap_or((".", name));
        let doing = || format!("looking for {} below {}", name, folder.display());
        let Some(parent) = walk(&opened, parents).with_context(doing)? else { continue };
        for last in matching(&parent, last).with_context(doing)? {
            let path = if parents == "." { folder.join(&last) } else { folder.join(parents).join(&last) };
            if is_empty_file(&parent, &last).with_context(doing)? {
                match act(&parent, &last) {
                    Ok(()) => found.push(path),
                    Err(Errno::ENOENT) => {}
                    Err(error) => return Err(error).with_context(|| format!("removing {}", path.display())),
                }
            }
        }
    }
    Ok(found)
}

/// The folder that these parts lead to; `None` when there is none, or something else in its place.
fn walk(folder: &OwnedFd, parts: &str) -> nix::Result<Option<OwnedFd>> {
    let mut at = openat(folder, ".", FOLDER, Mode::empty())?;
    for part in parts.split('/').filter(|_| parts != ".") {
        if !is_plain(part) {
            return Ok(None);
        }
        at = match openat(&at, part, FOLDER, Mode::empty()) {
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => return Ok(None),
            opened => opened?,
        };
    }
    Ok(Some(at))
}

/// The names in a folder that this name, perhaps with a `*`, stands for.
fn matching(folder: &OwnedFd, name: &str) -> nix::Result<Vec<String>> {
    let Some((start, end)) = name.split_once('*') else {
        return Ok(if is_plain(name) { vec![name.to_owned()] } else { vec![] });
    };
    let mut names = Vec::new();
    for entry in Dir::from_fd(openat(folder, ".", FOLDER, Mode::empty())?)?.iter() {
        let entry = entry?;
        let Ok(found) = entry.file_name().to_str() else { continue };
        let long_enough = found.len() >= start.len() + end.len();
        if is_plain(found) && long_enough && found.starts_with(start) && found.ends_with(end) {
            names.push(found.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether there is a regular file of that name with nothing in it: seen through a handle, and the name still that file's.
fn is_empty_file(folder: &OwnedFd, name: &str) -> nix::Result<bool> {
    let handle = match openat(folder, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ELOOP) => return Ok(false),
        handle => handle?,
    };
    let seen = fstat(handle.as_fd())?;
    let named = match fstatat(folder, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Err(Errno::ENOENT) => return Ok(false),
        named => named?,
    };
    let empty = |file: &FileStat| {
        SFlag::from_bits_truncate(file.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG && file.st_size == 0
    };
    Ok(empty(&seen) && empty(&named) && (seen.st_dev, seen.st_ino) == (named.st_dev, named.st_ino))
}

fn is_plain(part: &str) -> bool {
    !matches!(part, "" | "." | "..") && !part.contains('/')
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;
    use crate::sys::clock;

    /// A folder with these files, and what is left of them once the named ones were removed.
    fn left(files: &[(&str, &str)], names: &[&str]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            fs::write(folder.path().join(name), content).unwrap();
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let relative = |path: &PathBuf| path.strip_prefix(folder.path()).unwrap().display().to_string();
        assert_eq!(
            empty_files(folder.path(), &names).unwrap().iter().map(relative).collect::<Vec<_>>(),
            empty_files(folder.path(), &names).unwrap().iter().map(relative).collect::<Vec<_>>(),
            "looking changes something"
        );
        let removed = remove_empty_files(folder.path(), &names).unwrap().iter().map(relative).collect();
        let there = files.iter().map(|(name, _)| (*name).to_owned());
        (removed, there.filter(|name| folder.path().join(name).exists()).collect())
    }

    #[test]
    fn only_named_files_with_nothing_in_them_are_removed() {
        let key = "0192a7b1-0000-7000-8000-000000000001.aead.nks.json";
        let applications = [
            "alloc/8f/alloc/data/.lock",
            "alloc/8f/spin/local/robots.txt",
            "alloc/8f/alloc/logs/spin.stderr.0",
            "server/keystore/deeper/x.nks.json",
            "server/keystore/notes",
        ];
        let mut files: Vec<(&str, &str)> = applications.iter().map(|name| (*name, "")).collect();
        let keyring = format!("server/keystore/{key}");
        files.extend([("node-id", ""), ("server/serf.keyring", "[]"), (keyring.as_str(), "")]);
        let (removed, there) =
            left(&files, &["node-id", "server/serf.keyring", "server/keystore/*.nks.json", "gone/x"]);
        assert_eq!(removed, ["node-id", keyring.as_str()]);
        assert_eq!(there[..5], applications);
        assert_eq!(there[5..], ["server/serf.keyring"]);
    }

    #[test]
    fn a_name_that_leads_out_of_the_folder_is_passed_over() {
        let (removed, _) = left(&[("a/node-id", ""), ("b", "")], &["a/../b", "../b", "/b", "a/./node-id", "*/node-id"]);
        assert_eq!(removed, [""; 0]);
    }

    #[test]
    fn nothing_is_removed_through_a_link_and_no_link_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("etc")).unwrap();
        fs::create_dir_all(at("private/data")).unwrap();
        for name in ["etc/local.keyring", "etc/node-id", "private/data/node-id"] {
            fs::write(at(name), "").unwrap();
        }
        symlink("../../etc", at("private/data/serf")).unwrap();
        symlink("../../etc/node-id", at("private/data/link")).unwrap();
        // As systemd does for a service with a user of its own.
        symlink("private/data", at("data")).unwrap();
        let names = ["serf/local.keyring", "serf/*.keyring", "link", "node-id"].map(String::from);
        assert_eq!(remove_empty_files(&at("data"), &names).unwrap(), [at("data/node-id")]);
        assert!(at("etc/local.keyring").exists() && at("etc/node-id").exists());
        assert!(fs::symlink_metadata(at("private/data/link")).is_ok());
        assert!(remove_empty_files(&at("none"), &names).unwrap().is_empty());
    }

    /// A service exchanges its folder for a link again and again while files are removed: what the link leads to is never touched.
    #[test]
    fn whoever_exchanges_folders_for_links_meanwhile_has_nothing_else_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir_all(at("precious")).unwrap();
        fs::create_dir_all(at("data/serf")).unwrap();
        fs::write(at("precious/local.keyring"), "").unwrap();
        symlink(at("precious"), at("data/other")).unwrap();
        let names = ["serf/local.keyring".to_owned()];
        let over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    let _gone_meanwhile = fs::write(at("data/serf/local.keyring"), "");
                    // The two change places, again and again.
                    for (from, to) in [("serf", "mine"), ("other", "serf"), ("serf", "other"), ("mine", "serf")] {
                        fs::rename(at("data").join(from), at("data").join(to)).unwrap();
                    }
                }
            });
            let (began, mut removed) = (clock::monotonic(), 0);
            while removed < 100 && began.elapsed() < Duration::from_secs(30) {
                removed += remove_empty_files(&at("data"), &names).unwrap().len();
            }
            over.store(true, std::sync::atomic::Ordering::SeqCst);
            assert!(removed >= 100, "it was hardly ever removed from where it belongs");
        });
        assert!(at("precious/local.keyring").exists(), "a file was removed through a link");
    }
}
