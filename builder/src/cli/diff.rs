//! `anymetal diff OLD NEW`: what changes for a node, on stdout, a line for each change.
//! May not find it out: `diff` does.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Failed, Outcome, say};
use crate::diff;
use crate::form::{Carried, Form};

/// What `diff --help` says of its arguments.
const FORMS: &str = "A form is a bundle, a user-data, a plan.json, a site, or a folder that
`anymetal build` wrote. Packages are told of when both have their lists, and
anymetal-init when both pin it.";

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(after_help = FORMS)]
pub struct Args {
    /// The plan as it was, in any form
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The plan as it is to be
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// End with 1 when something changes
    #[arg(long)]
    exit_code: bool,
}

/// Opens both forms and says what changes. They are not hashed: `verify` does that.
pub fn run(args: &Args) -> Outcome {
    let old = carried(&args.old).map_err(Failed::Input)?;
    let new = carried(&args.new).map_err(Failed::Input)?;
    let changes = diff::changes(&old, &new);
    if changes.is_empty() {
        return say("no change for a node");
    }
    changes.iter().try_for_each(say)?;
    if args.exit_code { Err(Failed::Told) } else { Ok(()) }
}

fn carried(path: &Path) -> anyhow::Result<Carried> {
    let form = Form::open(path)?;
    let carried = form.carried().cloned();
    carried.with_context(|| {
        format!(
            "{} carries no plan\nhint: name a bundle, a user-data, a plan, a site or a folder of `anymetal build`",
            path.display()
        )
    })
}
