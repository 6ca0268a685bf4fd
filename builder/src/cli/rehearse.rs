//! `anymetal rehearse SITE --metadata FILE -o DIR`: the files a node with that metadata would get, made by the init that is shipped.
//! May not render anything itself. What it writes holds the site's secrets where a node's own files do.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context as _;
use anymetal_contract::plan::Arch;

use super::{Failed, Outcome};
use crate::sys::read::{self, Refused};
use crate::sys::rehearsal::{self, Given};
use crate::{init_binary, plan};

/// What was typed.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site's file
    site: PathBuf,
    /// A saved answer of the metadata service, or the machine's own document
    #[arg(long, value_name = "FILE")]
    metadata: PathBuf,
    /// The folder that stands for the node's root
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The static anymetal-init of this machine's architecture
    #[arg(long, value_name = "FILE")]
    init: Vec<PathBuf>,
}

/// Makes the plan and has init render it. What init says goes through, and so does how it ends.
pub fn run(args: &Args) -> Outcome {
    let site = super::site(&args.site)?;
    let arch = Arch::own().context("finding an anymetal-init for this machine: there is none for its architecture")?;
    let mut inits = init_binary::find(&BTreeSet::from([arch]), &args.init).map_err(Failed::Input)?;
    let init = inits.remove(&arch).expect("find gives every architecture it is asked for, or an error");
    let plan = plan::make(&site, &init.abilities)
        .map_err(|error| Failed::Input(error.context(init.path.display().to_string())))?;
    let secrets = super::secrets(&site, &plan)?;
    if let Err(refused @ Refused::Odd(_)) = read::open(&args.metadata) {
        let error = refused.told(u64::MAX).context(format!("reading {}", args.metadata.display()));
        return Err(Failed::Input(error));
    }
    let given = Given { plan: &plan::canonical(&plan), secrets: secrets.as_deref(), metadata: &args.metadata };
    match rehearsal::render(&init.path, &given, &args.output)? {
        0 => Ok(()),
        1 => Err(Failed::Told),
        code => Err(Failed::Fault(anyhow::anyhow!("{} render ended with code {code}", init.path.display()))),
    }
}
