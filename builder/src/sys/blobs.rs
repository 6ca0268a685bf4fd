//! Which blobs lie below some folders: files at `sha256/<hex>`.
//! May not check a digest: whoever fetches does, and some tests want it wrong.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use anymetal_contract::Digest;

/// Digest to file and size in bytes; of two files of one digest the earlier folder's. A folder without blobs is no error.
pub fn list(folders: &[PathBuf]) -> anyhow::Result<BTreeMap<Digest, (PathBuf, u64)>> {
    let mut blobs = BTreeMap::new();
    for folder in folders {
        for (digest, path, size) in files(folder, "")? {
            blobs.entry(digest).or_insert((path, size));
        }
    }
    Ok(blobs)
}

/// Blobs that are still coming to a folder, or were left so: digest to bytes that are there.
pub fn parts(folder: &Path) -> anyhow::Result<BTreeMap<Digest, u64>> {
    Ok(files(folder, ".part")?.into_iter().map(|(digest, _, size)| (digest, size)).collect())
}

/// Entries of a folder whose names begin so, sorted.
pub fn beginning(folder: &Path, prefix: &str) -> anyhow::Result<Vec<PathBuf>> {
    let listing = || format!("listing {}", folder.display());
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Files that are named by a digest and this. One that goes away meanwhile is none.
fn files(folder: &Path, end: &str) -> anyhow::Result<Vec<(Digest, PathBuf, u64)>> {
    let folder = folder.join("sha256");
    let listing = || format!("listing {}", folder.display());
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(listing),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(listing)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(end));
        let Some(digest) = name.and_then(|name| name.parse::<Digest>().ok()) else { continue };
        match std::fs::metadata(&path) {
            Ok(found) if found.is_file() => files.push((digest, path, found.len())),
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("looking at {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(files)
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
            [(name.clone(), 12)]
        );
        assert!(parts(folder.path()).unwrap().is_empty());
        std::fs::write(folder.path().join(format!("sha256/{name}.part")), "half").unwrap();
        assert_eq!(parts(folder.path()).unwrap(), BTreeMap::from([(name.parse().unwrap(), 4)]));
        assert_eq!(list(&[folder.path().to_owned()]).unwrap().len(), 1, "a part was taken for a blob");
    }
}
