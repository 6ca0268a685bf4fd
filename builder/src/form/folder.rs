//! A folder that `anymetal build` wrote: its release, and the other forms that lie there with it.
//! May not look at secrets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use anymetal_contract::Digest;
use anymetal_contract::bundle::PLAN;
use anymetal_contract::release::FILE;

use super::{Carried, Form, Kind, bounded, pinned};
use crate::sys::blobs;

/// Names of forms that are looked for.
const FORMS: [&str; 4] = [FILE, PLAN, "user-data", "bundle.tar"];

/// What is in the folder.
#[derive(Debug)]
pub struct Folder {
    /// The forms, the release first.
    pub forms: Vec<Form>,
    /// Files named by a digest, and how many bytes they have.
    pub blobs: BTreeMap<Digest, (PathBuf, u64)>,
    /// The release, and what any of the forms knows besides.
    pub carried: Carried,
}

impl Folder {
    /// Opens all forms there are in it.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let blobs = blobs::list(&[path.to_owned()])?;
        let there = FORMS.map(|name| path.join(name)).into_iter().filter(|form| form.symlink_metadata().is_ok());
        // of one machine each; not what an editor left
        let mut machines = blobs::beginning(path, "user-data.")?;
        machines.retain(|path| bounded(path).is_ok_and(|bytes| bytes.starts_with(b"#cloud-config")));
        let forms = there.chain(machines).map(|form| Form::open(&form)).collect::<Result<Vec<_>>>()?;
        let release = forms.iter().find(|form| matches!(form.kind, Kind::Release(_))).and_then(Form::carried);
        let mut carried = release.cloned().with_context(|| {
            format!("there is no {FILE} in it\nhint: name a folder that `anymetal build` wrote, or the file itself")
        })?;
        carried.lists = match forms.iter().find_map(|form| form.carried()?.lists.clone()) {
            Some(lists) => Some(lists),
            None => lists(&carried, &blobs)?,
        };
        Ok(Self { forms, blobs, carried })
    }
}

/// The lists among the blobs, when all are there.
fn lists(
    carried: &Carried,
    blobs: &BTreeMap<Digest, (PathBuf, u64)>,
) -> Result<Option<BTreeMap<anymetal_contract::plan::Arch, anymetal_contract::packages::Packages>>> {
    let mut lists = BTreeMap::new();
    for (arch, listed) in &carried.plan.packages {
        let Some((path, _)) = blobs.get(&listed.sha256) else { return Ok(None) };
        lists.insert(*arch, pinned(&bounded(path)?, *arch, &listed.sha256)?);
    }
    Ok(Some(lists))
}
