//! `anymetal secrets new SITE`: the site's secrets, made once.
//! May not print one: stdout has the file's path, stderr who may log in where.

use std::path::PathBuf;

use anyhow::anyhow;

use super::{Failed, Outcome, say, talk};
use crate::sys::{private, random};
use crate::{plan, secrets};

/// What was typed.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make the site's secrets: a new file, mode 0600; never changes one
    New(New),
}

/// What `secrets new --help` says besides.
const FILE: &str = "The file is secrets.yaml beside the site, or what its `secrets.file` names.
On stdout: the path of the file. On stderr: who may log in where.";

#[derive(Debug, clap::Args)]
#[command(after_help = FILE)]
struct New {
    /// The site's file
    site: PathBuf,
}

/// Runs what was typed.
pub fn run(args: &Args) -> Outcome {
    let Command::New(New { site }) = &args.command;
    let site = super::site(site)?;
    let wanted = plan::wanted_secrets(&site).map_err(Failed::Input)?;
    let path = &site.secrets.file;
    let there = || {
        let path = path.display();
        Failed::Input(anyhow!(
            "{path} is there already, and is left as it is: nodes that are up keep the secrets they have\n\
             hint: `anymetal check` says what it lacks; for all new secrets, move it away first"
        ))
    };
    if private::is_there(path) {
        return Err(there());
    }
    let text = secrets::file(&site, &wanted, &mut random::fill)?;
    if !private::create(path, text.as_bytes())? {
        return Err(there());
    }
    secrets::logins(&site, &wanted).into_iter().for_each(talk);
    say(path.display())
}
