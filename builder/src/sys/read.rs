//! Reading a file whose size its author decides, up to a limit.
//! May not look at what is in it.
#![expect(clippy::disallowed_methods, reason = "this is the room that opens files for reading")]

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

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
            Self::Io(error) => error.into(),
        }
    }
}

/// The whole of the file, when it has at most `limit` bytes. A larger file is refused by its size, before a byte is read; from a pipe or a
/// device, which have none, at most one byte more than the limit is taken.
pub fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>, Refused> {
    let metadata = fs::metadata(path).map_err(Refused::Io)?;
    if metadata.is_dir() {
        return Err(Refused::Folder);
    }
    if metadata.is_file() && metadata.len() > limit {
        return Err(Refused::TooLarge { size: Some(metadata.len()) });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Refused::Io)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Refused::Io)?;
    if bytes.len() as u64 > limit {
        return Err(Refused::TooLarge { size: None });
    }
    Ok(bytes)
}

#[cfg(test)]
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
    fn a_device_without_end_is_not_read_to_its_end() {
        assert!(matches!(bounded(Path::new("/dev/zero"), 1000), Err(Refused::TooLarge { size: None })));
        assert_eq!(bounded(Path::new("/dev/null"), 1000).unwrap(), b"");
    }

    #[test]
    fn a_folder_and_a_missing_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(bounded(folder.path(), 1), Err(Refused::Folder)));
        let missing = bounded(&folder.path().join("f"), 1);
        assert!(matches!(missing, Err(Refused::Io(error)) if error.kind() == io::ErrorKind::NotFound));
    }
}
