//! Files that somebody carried in.
//! May not look at what is in them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::read::{self, Refused};

/// Nothing when it is a folder.
pub fn folder(path: &Path) -> Result<()> {
    let there = std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    ensure!(there.is_dir(), "{} is not a folder", path.display());
    Ok(())
}

/// The plain file under that path, open, with its length in bytes; `None` when there is none.
pub fn open(path: &Path) -> io::Result<Option<(File, u64)>> {
    let there = match std::fs::metadata(path) {
        // `NotADirectory`: a part of the path is a file
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        other => other?,
    };
    if !there.is_file() {
        return Ok(None);
    }
    match read::open(path) {
        Ok((file, there)) => Ok(Some((file, there.len()))),
        Err(Refused::Io(error)) => Err(error),
        // it became something else just now
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the files it looks at")]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_file_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        std::fs::write(path("file"), "four").unwrap();
        std::fs::create_dir(path("folder")).unwrap();
        assert_eq!(open(&path("file")).unwrap().map(|(_, length)| length), Some(4));
        for other in ["folder", "nothing", "file/below"] {
            assert!(open(&path(other)).unwrap().is_none(), "{other}");
        }
        assert!(folder(&path("folder")).is_ok());
        let error = folder(&path("file")).unwrap_err().to_string();
        assert!(error.ends_with("/file is not a folder"), "{error}");
    }
}
