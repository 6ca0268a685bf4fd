//! `anymetal-init render`: the files a node with that metadata would get, below a folder.
//! May not touch anything outside that folder, nor run a program: it is a preview on somebody's desk.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use anymetal_contract::plan::Arch;

use super::{Render, Trouble, print, warn};
use crate::secrets::Secrets;
use crate::sys::fs;
use crate::{facts, files, metadata, plan, render};

pub(crate) fn run(typed: &Render) -> Result<ExitCode, Trouble> {
    let arch = match &typed.arch {
        Some(name) => {
            Arch::named(name).with_context(|| format!("reading --arch {name}: x86_64 or aarch64 is expected"))
        }
        None => Arch::own().context("looking up this machine's architecture: it is none of ours; give --arch"),
    };
    let arch = arch.map_err(|error| Trouble::given(&error))?;
    let plan = fs::read(&typed.plan).map_err(|error| Trouble::given(&error))?;
    let plan = plan::read(&plan).and_then(|plan| plan::check(&plan, arch).map(|()| plan));
    let plan = plan.map_err(|failure| Trouble::failed(&failure))?;
    let document = fs::read(&typed.metadata).map_err(|error| Trouble::given(&error))?;
    let machine = metadata::read(&plan.platform, &document).map_err(|failure| Trouble::failed(&failure))?;
    let mut secrets = match &typed.secrets {
        Some(file) => {
            let bytes = fs::read(file).map_err(|error| Trouble::given(&error))?;
            let from = format!("in {}", file.display());
            Secrets::read(&bytes, &from, &plan).map_err(|failure| Trouble::failed(&failure))?
        }
        None => Secrets::default(),
    };
    let unknown = secrets.stand_in(&plan);
    if !unknown.is_empty() {
        let count = unknown.len();
        let what = "not known yet, and stand in the files as <secret NAME>; `anymetal secrets new` makes them";
        warn(&format!("{count} secrets are {what}"));
    }
    let facts = facts::make(&plan, &machine, &secrets, arch).map_err(|failure| Trouble::failed(&failure))?;
    for warning in machine.warnings.iter().chain(&facts::doubts(&plan, &machine)) {
        warn(warning);
    }
    // All or nothing: a template that breaks leaves no half of a node behind.
    let mut rendered = Vec::new();
    for file in &plan.files {
        rendered.push((file, render::render(file, &facts, &secrets).map_err(|failure| Trouble::failed(&failure))?));
    }
    for (file, text) in rendered {
        let path = typed.root.join(file.path.trim_start_matches('/'));
        let mode = files::mode(&file.mode).expect("the plan has been checked");
        fs::replace(&path, text.as_bytes(), mode).map_err(|error| Trouble::ours(&error))?;
        print(&format!("{}\n", display(&path)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn display(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
