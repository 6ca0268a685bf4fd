//! Reading files that somebody names: plain files and nothing else, up to a limit. A pipe, a device or a socket is refused before a byte is waited for.
//! May not look at what is in them.

use std::fs::{self, File, FileType, Metadata};
use std::io::{self, Read};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

/// Why a file was not read.
#[derive(Debug)]
pub enum Refused {
    /// It has more bytes than the limit; how many, when it has a size of its own.
    TooLarge {
        /// In bytes.
        size: Option<u64>,
    },
    /// It is a folder.
    Folder,
    /// It is something else that is no regular file: what.
    Odd(&'static str),
    /// The operating system says no.
    Io(io::Error),
}

impl Refused {
    /// Whether there is no such file.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Why, for a person; `limit` is what [`bounded`] was given.
    pub fn told(self, limit: u64) -> anyhow::Error {
        match self {
            Self::TooLarge { .. } => anyhow::anyhow!("it is longer than {limit} bytes"),
            Self::Folder => anyhow::anyhow!("it is a folder"),
            Self::Odd(what) => {
                anyhow::anyhow!("it is {what}, not a regular file\nhint: copy what is in it to a file first")
            }
            Self::Io(error) => error.into(),
        }
    }
}

/// The whole of the file, when it has at most `limit` bytes. A larger file is refused by its size, before a byte is read.
pub fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    let (file, metadata) = open(path)?;
    if metadata.len() > limit {
        return Err(Refused::TooLarge { size: Some(metadata.len()) });
    }
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Refused::Io)?;
    if bytes.len() as u64 > limit {
        return Err(Refused::TooLarge { size: None });
    }
    Ok(bytes)
}

/// The regular file at this path, links followed, open. A pipe without a name is one too: `/dev/stdin` and `<(…)` have somebody who writes.
pub fn open(path: &Path) -> Result<(File, Metadata), Refused> {
    // looked at first: to open a device may do something
    regular(&fs::metadata(path).map_err(Refused::Io)?, true)?;
    // and without waiting for who writes into a pipe that has come into its place
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path).map_err(Refused::Io)?;
    let metadata = file.metadata().map_err(Refused::Io)?;
    regular(&metadata, is_nameless(&file))?;
    let blocks = fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()));
    blocks.map_err(|errno| Refused::Io(errno.into()))?;
    Ok((file, metadata))
}

fn regular(metadata: &Metadata, nameless: bool) -> Result<(), Refused> {
    match metadata.file_type() {
        kind if kind.is_file() || (kind.is_fifo() && nameless) => Ok(()),
        kind if kind.is_dir() => Err(Refused::Folder),
        kind => Err(Refused::Odd(odd(kind))),
    }
}

/// Whether an open pipe was made by `pipe(2)`, and lies in no folder.
fn is_nameless(file: &File) -> bool {
    let place = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
    place.is_ok_and(|place| place.as_os_str().as_encoded_bytes().starts_with(b"pipe:["))
}

/// What is neither a regular file nor a folder, in words.
pub(super) fn odd(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a link"
    } else {
        "a device"
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the files it reads")]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_limit_is_read_and_one_more_byte_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(bounded(&path, 5).unwrap(), b"12345");
        assert!(matches!(bounded(&path, 4), Err(Refused::TooLarge { size: Some(5) })));
    }

    #[test]
    fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, socket, link) = (folder.path().join("p"), folder.path().join("s"), folder.path().join("l"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        for (path, what) in [
            (pipe.as_path(), "a named pipe"),
            (&link, "a named pipe"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
            (Path::new("/dev/null"), "a device"),
        ] {
            let refused = bounded(path, 1000).unwrap_err();
            assert!(matches!(refused, Refused::Odd(odd) if odd == what), "{}: {refused:?}", path.display());
        }
    }

    #[test]
    fn a_folder_and_a_missing_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(bounded(folder.path(), 1), Err(Refused::Folder)));
        let missing = bounded(&folder.path().join("f"), 1);
        assert!(matches!(missing, Err(Refused::Io(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}
