//! Large files: opened for reading, and written beside their place, to be put there when all else is written.
//! May not know what is in them.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use anymetal_contract::{Digest, terminal};
use anymetal_supply::store::digest_of;
use tempfile::NamedTempFile;

use super::stage::Stage;
use super::{read, write};

/// Bytes read at a time, so that system calls do not count.
const PIECE: usize = 1 << 20;
/// The mode of a bundle: anybody may read it.
const MODE: u32 = 0o644;

/// A file that is not in its place yet; dropped, it goes away.
#[derive(Debug)]
pub struct Beside {
    // dropped before the folder it is in
    file: NamedTempFile,
    _stage: Stage,
}

/// Opens a file.
pub fn open(path: &Path) -> Result<File> {
    let opened = read::open(path).map(|(file, _)| file).map_err(|refused| refused.told(u64::MAX));
    opened.with_context(|| format!("opening {}", terminal::one_line(&path.display().to_string())))
}

/// Opens a file that may not be there, when it has the mode of what is written here.
pub fn opened(path: &Path) -> Result<Option<File>> {
    let opened = match read::open(path) {
        Err(refused) if refused.is_absent() => return Ok(None),
        other => other.map_err(|refused| refused.told(u64::MAX)),
    };
    let (file, metadata) = opened.with_context(|| format!("opening {}", path.display()))?;
    Ok((metadata.permissions().mode() & 0o7777 == MODE).then_some(file))
}

/// The sha256 of a file of any size.
pub fn digest(path: &Path) -> Result<Digest> {
    let (digest, _) =
        digest_of(&mut open(path)?, &mut vec![0; PIECE]).with_context(|| format!("reading {}", path.display()))?;
    Ok(digest)
}

/// What `write` writes, in a file for the folder `out`; in the folder around it, when that is not there yet.
pub fn beside(out: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<Beside> {
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = if out.is_dir() { out } else { parent };
    write::make_folder(folder)?;
    let stage = Stage::within(folder)?;
    let mut file = NamedTempFile::new_in(stage.path())
        .with_context(|| format!("making a temporary file in {}", stage.path().display()))?;
    write(file.as_file_mut())?;
    let ended = file.as_file().set_permissions(Permissions::from_mode(MODE)).and_then(|()| file.as_file().sync_all());
    ended.with_context(|| format!("writing {}", file.path().display()))?;
    Ok(Beside { file, _stage: stage })
}

impl Beside {
    /// Puts it in its place.
    pub fn put(self, place: &Path) -> Result<()> {
        self.file.persist(place).with_context(|| format!("putting {} in place", place.display()))?;
        place.parent().map_or(Ok(()), write::sync)
    }
}
