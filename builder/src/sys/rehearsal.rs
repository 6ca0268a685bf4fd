//! Running the shipped init's own preview.
//! May not know what it renders.
#![expect(clippy::disallowed_methods, reason = "a room of sys: starts the one program that rehearse is about")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

/// `init render` of this plan and this metadata below `root`; it talks on our own standard streams. The code it ended with.
pub fn render(init: &Path, plan: &[u8], metadata: &Path, root: &Path) -> Result<i32> {
    let mut file =
        tempfile::NamedTempFile::with_prefix("anymetal-plan-").context("making a temporary file for the plan")?;
    file.write_all(plan).and_then(|()| file.flush()).with_context(|| format!("writing {}", file.path().display()))?;
    // A bare name would be looked up on PATH.
    let program = std::path::absolute(init).with_context(|| format!("finding out where {} lies", init.display()))?;
    let mut command = Command::new(program);
    command.arg("render").arg("--plan").arg(file.path()).arg("--metadata").arg(metadata).arg("--root").arg(root);
    let starting = || format!("starting {}; is it executable, and for this machine?", init.display());
    let ended = command.status().with_context(starting)?;
    ended.code().with_context(|| format!("running {}: {ended}", init.display()))
}
