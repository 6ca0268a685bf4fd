//! Reading init binaries from disk, and where this very program lies.
//! May not judge what it reads: `init_binary` does.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::read::{self, Refused};

/// The file, when it is not longer than `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let opened = read::open(path).map_err(|refused| match refused {
        Refused::Io(error) => error,
        _ => io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain file"),
    });
    tracing::debug!(
        "looking for an init at {}: {}",
        path.display(),
        if opened.is_ok() { "there" } else { "not there" }
    );
    let (file, _) = opened?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// The file of the running program, symbolic links resolved.
pub fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()?.canonicalize()
}
