//! Running the shipped init's own preview.
//! May not know what it renders.
#![expect(clippy::disallowed_methods, reason = "a room of sys: starts the one program that rehearse is about")]

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use anymetal_contract::plan::Arch;

use super::interrupt;
use super::stage::Stage;

/// What a rehearsal is given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'g> {
    /// The canonical plan.
    pub plan: &'g [u8],
    /// The nodes' document of secrets, when the plan wants some.
    pub secrets: Option<&'g [u8]>,
    /// The file with what the platform says.
    pub metadata: &'g Path,
    /// The architecture of the node, when it is not this machine's.
    pub arch: Option<Arch>,
}

/// `init render` of this below `root`; it talks on our own standard streams. The code it ended with.
pub fn render(init: &Path, given: &Given<'_>, root: &Path) -> Result<i32> {
    let stage = Stage::within(&runtime())?;
    let plan = temporary(&stage, "plan.json", given.plan)?;
    let secrets = given.secrets.map(|secrets| temporary(&stage, "secrets.json", secrets)).transpose()?;
    // A bare name would be looked up on PATH.
    let program = std::path::absolute(init).with_context(|| format!("finding out where {} lies", init.display()))?;
    let mut command = Command::new(program);
    command.arg("render").arg("--plan").arg(plan).arg("--metadata").arg(given.metadata).arg("--root").arg(root);
    if let Some(secrets) = &secrets {
        command.arg("--secrets").arg(secrets);
    }
    if let Some(arch) = given.arch {
        command.arg("--arch").arg(arch.id());
    }
    let starting = || format!("starting {}; is it executable, and for this machine?", init.display());
    let mut child = interrupt::let_through(|| command.spawn()).with_context(starting)?;
    let ended = child.wait().with_context(|| format!("waiting for {}", init.display()))?;
    ended.code().with_context(|| format!("running {}: {ended}", init.display()))
}

/// Where what is only for this run, and nobody else's to read, may lie: in memory, when the system has such a place for its users.
pub(super) fn runtime() -> PathBuf {
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    named.filter(|path| path.is_absolute() && path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// A file for its owner alone, which goes away with the stage.
pub(super) fn temporary(stage: &Stage, what: &str, bytes: &[u8]) -> Result<PathBuf> {
    let path = stage.path().join(what);
    let write = || {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(bytes)
    };
    write().with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
