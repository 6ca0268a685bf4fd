//! A user-data, with the release and the plan that it pins: in it, or beside it.
//! May not look at secrets, nor judge what it carries: `verify` does.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use anymetal_contract::Digest;
use anymetal_contract::bundle::PLAN;
use anymetal_contract::{place, release as contract};

use super::{Carried, bounded};
use crate::plan;
use crate::userdata::rebuilt::Found;

/// What the user-data at this path carries. Fails when the release or the plan it pins is neither in it nor beside it.
pub(super) fn read(path: &Path, bytes: &[u8]) -> Result<Carried> {
    let found = Found::read(bytes)?;
    let pinned = &found.pins.release.sha256;
    let text = pinned_by(path, "release", contract::FILE, pinned, found.release.as_deref())?;
    let release = crate::release::read(&text)?;
    let plan = pinned_by(path, "plan", PLAN, &release.plan.sha256, found.plan.as_deref())?;
    let mut carried = Carried::read(plan)?.under(text.clone())?;
    carried.wrong = found.wrong((&release, &text), (&carried.plan, &carried.text));
    carried.inits = Some(found.pins.inits.clone());
    carried.host = Some(found.host(&release, &carried.plan));
    carried.secrets = found.secrets();
    carried.signature.clone_from(&found.signature);
    Ok(carried)
}

/// What this digest pins: what travels in the user-data, or a file beside it.
fn pinned_by(path: &Path, what: &str, name: &str, sha256: &Digest, inline: Option<&[u8]>) -> Result<Vec<u8>> {
    if let Some(bytes) = inline {
        let found = plan::digest(bytes);
        ensure!(found == *sha256, "the {what} in it has other bytes than it pins: sha256 {found}, not {sha256}");
        return Ok(bytes.to_vec());
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    let places = [folder.join(name), folder.join(place::blob(sha256)), folder.join(sha256.as_str())];
    let there = places.iter().filter_map(|path| bounded(path).ok());
    there.into_iter().find(|bytes| plan::digest(bytes) == *sha256).with_context(|| {
        format!("the {what} that it pins, sha256 {sha256}, is not beside it\nhint: put {name} of the same build into its folder, or name the folder that `anymetal build` wrote")
    })
}
