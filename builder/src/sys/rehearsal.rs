//! Running the shipped init's own preview.
//! May not know what it renders.
#![expect(clippy::disallowed_methods, reason = "a room of sys: starts the one program that rehearse is about")]

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// What a rehearsal is given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'g> {
    /// The canonical plan.
    pub plan: &'g [u8],
    /// The nodes' document of secrets, when the plan wants some.
    pub secrets: Option<&'g [u8]>,
    /// The file with what the platform says.
    pub metadata: &'g Path,
}

/// `init render` of this below `root`; it talks on our own standard streams. The code it ended with.
pub fn render(init: &Path, given: &Given<'_>, root: &Path) -> Result<i32> {
    let plan = temporary("plan", given.plan)?;
    let secrets = given.secrets.map(|secrets| temporary("secrets", secrets)).transpose()?;
    // A bare name would be looked up on PATH.
    let program = std::path::absolute(init).with_context(|| format!("finding out where {} lies", init.display()))?;
    let mut command = Command::new(program);
    command.arg("render").arg("--plan").arg(plan.path()).arg("--metadata").arg(given.metadata).arg("--root").arg(root);
    if let Some(secrets) = &secrets {
        command.arg("--secrets").arg(secrets.path());
    }
    let starting = || format!("starting {}; is it executable, and for this machine?", init.display());
    let ended = command.status().with_context(starting)?;
    ended.code().with_context(|| format!("running {}: {ended}", init.display()))
}

/// A file for its owner alone, which goes away by itself.
fn temporary(what: &str, bytes: &[u8]) -> Result<NamedTempFile> {
    let making = || format!("making a temporary file for the {what}");
    // tempfile makes its files 0600 whatever the umask is
    let mut file = NamedTempFile::with_prefix(format!("anymetal-{what}-")).with_context(making)?;
    file.write_all(bytes).and_then(|()| file.flush()).with_context(|| format!("writing {}", file.path().display()))?;
    Ok(file)
}
