//! What is said about a build in its folder: the bill of materials made anew, and the provenance's digests beside the files they are of.
//! May not want either to be there.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::form::Folder;
use crate::sys::{bundle, inits, read};
use crate::{init_binary, provenance, sbom};

/// The largest of them that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Fails when one of them lies in the folder and is not true of it.
pub(super) fn judge(path: &Path, folder: &Folder) -> Result<()> {
    if let Some(text) = found(&path.join(sbom::FILE))? {
        let right = materials(folder).with_context(|| format!("making {} anew", sbom::FILE))?;
        let same = right.is_none_or(|right| right == text);
        ensure!(same, "{} is not what its release makes", path.join(sbom::FILE).display());
    }
    if let Some(text) = found(&path.join(provenance::FILE))? {
        subjects(path, &text).with_context(|| path.join(provenance::FILE).display().to_string())?;
    }
    Ok(())
}

fn found(path: &Path) -> Result<Option<Vec<u8>>> {
    match read::bounded(path, LARGEST) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(refused) if refused.is_absent() => Ok(None),
        Err(refused) => Err(refused.told(LARGEST).context(format!("reading {}", path.display()))),
    }
}

/// The bill of materials; `None` when the lists that it is made of are not there.
fn materials(folder: &Folder) -> Result<Option<Vec<u8>>> {
    let carried = &folder.carried;
    let (Some(lists), Some(pins)) = (&carried.lists, &carried.inits) else { return Ok(None) };
    let init = |sha256| {
        let (path, size) = folder.blobs.get(sha256).context("an anymetal-init is missing")?;
        init_binary::inspect(path, inits::read(path, *size)?)
    };
    let inits = pins.values().map(init).collect::<Result<Vec<_>>>()?;
    Ok(Some(sbom::document(&carried.plan, lists, &inits)?.into_bytes()))
}

/// Whether each file that the provenance names has the digest that it says, where it is there.
fn subjects(folder: &Path, text: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Statement {
        subject: Vec<Subject>,
    }
    #[derive(serde::Deserialize)]
    struct Subject {
        name: String,
        digest: BTreeMap<String, String>,
    }
    let statement: Statement = serde_json::from_slice(text).context("it is no statement")?;
    for Subject { name, digest } in statement.subject {
        let path = folder.join(&name);
        let inside = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
        if !inside || path.symlink_metadata().is_err() {
            continue;
        }
        let found = bundle::digest(&path)?;
        let said = digest.get("sha256").map(String::as_str);
        ensure!(said == Some(found.as_str()), "{name} has other bytes than it says: sha256 {found}");
    }
    Ok(())
}
