//! What was typed, and how a command ends: 0 done, 1 your input, 2 our fault or the world's.
//! May not do what was asked: each command has its own room below.

pub(crate) mod drain;
pub(crate) mod guard;
pub(crate) mod render;
pub(crate) mod renew;
pub(crate) mod run;
pub(crate) mod share;
pub(crate) mod status;
pub(crate) mod version;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anymetal_contract::Reason;
use clap::{Args, Parser, Subcommand};

use anymetal_supply::failure::Failure;

/// Turns this machine into one node of its site, and says how far it is.
#[derive(Debug, Parser)]
#[command(name = "anymetal-init", version, max_term_width = 80, after_help = AFTER)]
struct Typed {
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str =
    "Exit code: 0 done, 1 something is wrong with what you gave, 2 something is wrong\nwith the machine or with us.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the first boot, to its end or a clear failure; may be run again
    #[command(after_help = RUN)]
    Run(Run),
    /// Keep the site's prefixes announced while this node serves
    #[command(after_help = GUARD)]
    Guard(Guard),
    /// Take this node out of anycast in order, and keep it out
    #[command(after_help = DRAIN)]
    Drain(Drain),
    /// Let this node announce again
    #[command(after_help = UNDRAIN)]
    Undrain(Drain),
    /// Give this node's archives to its siblings on the private network
    #[command(after_help = SHARE)]
    Share(Share),
    /// Bring a renewed certificate to Traefik
    #[command(after_help = RENEW)]
    Renew(Renew),
    /// Write the files a node with that metadata would get; nothing else
    #[command(override_usage = "anymetal-init render --plan FILE --metadata FILE --root DIR [OPTIONS]")]
    Render(Render),
    /// Say where this node stands
    #[command(after_help = STATUS)]
    Status(Status),
    /// Print the version, or all this init can do
    Version(Version),
}

const RUN: &str = "Exit code: 0 the node is up, 2 it is not, and somebody has to do something, 3 it\n\
                   is not, and may be when this is run again, or another run is under way.";
const GUARD: &str = "It runs as the unit anymetal-guard, until it is stopped. Whatever ends it\n\
                     withdraws, but for a restart of the unit: the next one takes over.";
const DRAIN: &str = "A node stays drained across reboots. Exit code: 0 it announces nothing any more,\n\
                     2 it may.";
const UNDRAIN: &str = "Exit code: 0 it may announce again, once every proof holds, 2 it may not.";
const SHARE: &str = "It runs as the unit anymetal-share, until it is stopped.";
const RENEW: &str = "It runs as the unit anymetal-certificates whenever one of the two files changes.";
const STATUS: &str = "Exit code: 0 the node is up or on its way, 2 the boot has failed, was cut off or\n\
                      has not begun. With --wait: 0 the node is up, 2 it is not.";

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Take this folder for the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Take this file for the plan, not the one below the root
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Take a release older than one this node ran, or of another site
    #[arg(long)]
    allow_rollback: bool,
    /// For tests: wait no longer than this between two attempts
    #[arg(long, value_name = "MS", hide = true)]
    backoff_cap_ms: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct Guard {
    /// Only withdraw whatever is announced, and end: what its unit does last
    #[arg(long)]
    withdraw: bool,
    /// The same, unless a guard lives: what is left of a restart without a second half
    #[arg(long, hide = true, conflicts_with = "withdraw")]
    withdraw_unless_kept: bool,
    /// Take this folder for the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// Do not wait until it is so
    #[arg(long)]
    no_wait: bool,
    /// Take this folder for the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Share {
    /// This node's private address, with the length of its link
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    address: ipnet::Ipv4Net,
    /// Take this folder for the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Renew {
    /// The certificate's chain, in PEM form
    #[arg(long, value_name = "FILE")]
    certificate: PathBuf,
    /// Its key, in PEM form
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Take this folder for the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Render {
    /// The plan
    #[arg(long, value_name = "FILE")]
    plan: PathBuf,
    /// What the metadata service answers, or the machine's own document
    #[arg(long, value_name = "FILE")]
    metadata: PathBuf,
    /// The folder to write the files below; their paths are printed
    #[arg(long, value_name = "DIR")]
    root: PathBuf,
    /// The site's secrets; without them files show <secret NAME>
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// The node's architecture [default: this machine's]
    #[arg(long, value_name = "x86_64|aarch64")]
    arch: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Print the document as it is
    #[arg(long)]
    json: bool,
    /// Wait until the boot has ended; there is no limit
    #[arg(long)]
    wait: bool,
    /// Take this folder for the root of the node
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Version {
    /// Print what this init can read and do, as JSON
    #[arg(long)]
    json: bool,
}

/// What was typed; or, when there is nothing to be done any more, the exit code.
pub(crate) fn typed() -> Result<Command, ExitCode> {
    Typed::try_parse().map(|typed| typed.command).map_err(|error| {
        let _nowhere_to_say_it = error.print();
        // clap's own code for wrong usage is 2; here that is never the user's fault.
        if error.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS }
    })
}

/// Why a command could not be done: something to say, and whose fault it is.
#[derive(Debug)]
pub(crate) struct Trouble {
    code: u8,
    message: String,
    hint: Option<&'static str>,
}

impl Trouble {
    /// Something is wrong with what was given.
    fn given(error: &anyhow::Error) -> Self {
        Self { code: 1, message: format!("{error:#}"), hint: None }
    }

    /// Something is wrong with the machine or with us.
    fn ours(error: &anyhow::Error) -> Self {
        Self { code: 2, message: format!("{error:#}"), hint: None }
    }

    /// Something is wrong with the machine or with us, and may not be when it is tried again.
    fn passing(error: &anyhow::Error) -> Self {
        Self { code: 3, ..Self::ours(error) }
    }

    /// A failure of a room that reads plan and metadata, where those were given by the user.
    fn failed(failure: &Failure) -> Self {
        let ours = matches!(failure.reason, Reason::Internal | Reason::HostFault | Reason::DiskFull);
        Self { code: if ours { 2 } else { 1 }, message: failure.chain(), hint: Some(failure.reason.hint()) }
    }

    /// Says it on stderr.
    pub(crate) fn tell(&self) -> ExitCode {
        let hint = self.hint.map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        let lines = format!("anymetal-init: {}\n{hint}", self.message);
        let _nowhere_to_say_it = std::io::stderr().write_all(lines.as_bytes());
        ExitCode::from(self.code)
    }
}

/// Writes to stdout. A reader that has gone away (`| head`) is not an error.
fn print(text: &str) -> Result<(), Trouble> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Trouble::ours(&anyhow::Error::new(error).context("writing to stdout")))
        }
        _ => Ok(()),
    }
}

/// Says on stderr what is worth a warning.
fn warn(warning: &str) {
    let _nowhere_to_say_it = std::io::stderr().write_all(format!("anymetal-init: warning: {warning}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_help_of_every_command_fits_80_columns() {
        let mut program = Typed::command();
        program.build();
        let names: Vec<String> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
        let mut pages = vec![program.render_long_help().to_string()];
        for name in &names {
            pages.push(program.find_subcommand_mut(name).unwrap().render_long_help().to_string());
        }
        assert_eq!(names[..4], ["run", "guard", "drain", "undrain"]);
        for line in pages.iter().flat_map(|page| page.lines()) {
            assert!(line.chars().count() <= 80, "{line:?} is {} columns wide", line.chars().count());
        }
        assert!(!pages[1].contains("backoff"), "a flag for tests is shown: {}", pages[1]);
    }

    #[test]
    fn what_was_given_is_1_and_the_machine_is_2() {
        for (reason, code) in
            [(Reason::FactsMissing, 1), (Reason::PlanUnreadable, 1), (Reason::DiskFull, 2), (Reason::Internal, 2)]
        {
            assert_eq!(Trouble::failed(&Failure::new(reason, "x")).code, code, "{reason}");
        }
    }
}
