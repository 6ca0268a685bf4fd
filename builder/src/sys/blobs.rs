//! Which blobs lie below some folders: files at `sha256/<hex>`.
//! May not check a digest: whoever fetches does, and some tests want it wrong.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::Context as _;
use anymetal_contract::Digest;

/// Digest to file and size in bytes; of two files of one digest the earlier folder's. A folder without blobs is no error.
pub fn list(folders: &[PathBuf]) -> anyhow::Result<BTreeMap<Digest, (PathBuf, u64)>> {
    let mut blobs = BTreeMap::new();
    for folder in folders {
        let folder = folder.join("sha256");
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(|| format!("listing {}", folder.display())),
        };
        for entry in entries {
            let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<Digest>().ok());
            let size = std::fs::metadata(&path).with_context(|| format!("looking at {}", path.display()))?;
            if let Some(digest) = name.filter(|_| size.is_file()) {
                blobs.entry(digest).or_insert((path, size.len()));
            }
        }
    }
    Ok(blobs)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the files it lists")]
mod tests {
    use super::*;

    #[test]
    fn files_named_by_a_digest_are_blobs_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sha256")).unwrap();
        let name = "ab".repeat(32);
        std::fs::write(folder.path().join("sha256").join(&name), "twelve bytes").unwrap();
        std::fs::write(folder.path().join("sha256/note.txt"), "no").unwrap();
        let blobs = list(&[folder.path().join("not there"), folder.path().to_owned()]).unwrap();
        assert_eq!(
            blobs.into_iter().map(|(digest, (_, size))| (digest.to_string(), size)).collect::<Vec<_>>(),
            [(name, 12)]
        );
    }
}
