//! `anymetal secrets new SITE`: the site's secrets, each made once.
//! May not print one: stdout has the file's path, stderr who may log in where.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::anyhow;

use super::{Failed, Outcome, say, talk, tell};
use crate::secrets::Added;
use crate::site::Site;
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
    /// Make the site's secrets: a file, mode 0600; in one that is there, those it lacks
    New(New),
}

/// What `secrets new --help` says besides.
const FILE: &str = "The file is secrets.yaml beside the site, or what its `secrets.file` names.
What stands in it stays: nodes that are up have it. Move the file away first to
get all new secrets.
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
    if private::is_there(path) {
        add(&site, &wanted)?;
    } else {
        let text = secrets::file(&site, &wanted, &mut random::fill)?;
        if !private::create(path, text.as_bytes())? {
            let path = path.display();
            return Err(Failed::Input(anyhow!("{path} was made by somebody else just now, and is left as it is")));
        }
        secrets::logins(&site, &wanted).into_iter().for_each(talk);
    }
    say(path.display())
}

/// Adds what the file lacks, and says it in one line.
fn add(site: &Site, wanted: &BTreeSet<String>) -> Outcome {
    let path = &site.secrets.file;
    if private::mode(path).is_none() {
        return Err(Failed::Input(anyhow!(
            "{} is there already and is no plain file, so nothing can be added to it\n\
             hint: `anymetal check SITE` says what it lacks",
            path.display()
        )));
    }
    let (added, found) = secrets::added(site, wanted, &mut random::fill)?;
    tell(path, &found);
    let path_shown = path.display();
    match added {
        Added::Refused => Err(Failed::Told),
        Added::Nothing => {
            talk(format_args!("{path_shown} has all that the site needs already, and is left as it is"));
            Ok(())
        }
        Added::These { names, keys, text } => {
            private::replace(path, text.as_bytes())?;
            talk(format_args!("{path_shown}: added {}; what was there is as it was", keys.join(", ")));
            secrets::logins(site, &names).into_iter().for_each(talk);
            Ok(())
        }
    }
}
