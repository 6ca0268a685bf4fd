//! The command map of `anymetal`: which word runs which room of `cli/`.
//! May not do anything else but set up tracing and end the program.

use std::process::ExitCode;

use anymetal::cli;
use anymetal::sys::terminal;
use clap::Parser as _;
use tracing::level_filters::LevelFilter;

/// A command is one line below and one room in `cli/` with `Args` and `run`.
macro_rules! commands {
    ($($(#[$help:meta])* $word:ident => $room:ident,)*) => {
        #[derive(Debug, clap::Subcommand)]
        enum Command {
            $($(#[$help])* $word(cli::$room::Args),)*
        }

        impl Command {
            fn run(&self) -> cli::Outcome {
                match self {
                    $(Self::$word(args) => cli::$room::run(args),)*
                }
            }
        }
    };
}

commands! {
    /// Say all that is wrong with a site
    Check => check,
    /// Resolve a site's versions to digests, beside the site
    Lock => lock,
    /// Make a site's secrets
    Secrets => secrets,
    /// Get every blob of a site into the cache
    Fetch => fetch,
    /// Say what is in the cache; list, verify and prune it
    Cache => cache,
    /// Write what a site's machines boot from, and print the plan digest
    Build => build,
    /// Prove that forms are whole, untouched and of one plan
    Verify => verify,
    /// Say what another plan changes for a node
    Diff => diff,
    /// Sign a plan, or make a key to do it with
    Sign => sign,
    /// Show the exact files one machine would get
    Rehearse => rehearse,
    /// Boot a machine in QEMU against a simulated platform
    Boot => boot,
}

/// How a command ends; on lines of its own, because clap does not wrap without knowing the terminal.
const ENDS: &str = "stdout is data, stderr is talk.
Exit 0: done, 1: your input is wrong, 2: our fault or the world's.";

/// From one site to everything its machines boot from
#[derive(Debug, clap::Parser)]
#[command(name = "anymetal", version, arg_required_else_help = true, after_help = ENDS)]
struct Typed {
    /// Tell a developer more on stderr; twice for all
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    let typed = match Typed::try_parse() {
        Ok(typed) => typed,
        Err(error) => {
            let _nobody_listens = error.print();
            return ExitCode::from(u8::from(error.use_stderr()));
        }
    };
    let level = match typed.verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_writer(|| terminal::Stderr)
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .init();
    cli::end(typed.command.run())
}
