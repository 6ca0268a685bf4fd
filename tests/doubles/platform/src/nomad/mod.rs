//! The double of Nomad: its API, its scheduler for one node, and its tasks, which really run.
//! May not claim to be Nomad: `version` and the log say what it is.

pub mod acl;
mod address;
mod agent;
mod blocks;
mod canonical;
mod chroot;
mod config;
mod consul;
mod environment;
mod events;
mod executor;
mod health;
mod isolation;
mod placement;
mod reconcile;
mod reschedule;
mod restart;
mod routes;
mod rules;
mod runner;
mod scheduler;
mod state;
mod task;
mod validate;
mod ways;
mod world;

use std::path::Path;
use std::process::ExitCode;

/// The version it answers like.
pub const VERSION: &str = "1.4.1";

/// Runs the command line.
pub fn main(arguments: &[String]) -> ExitCode {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version" | "-version" | "--version" | "-v"] => {
            println!("{}", crate::banner(&format!("Nomad v{VERSION} nomad-double"), "Nomad"));
            ExitCode::SUCCESS
        }
        ["config", "validate", path] => match config::read(Path::new(path)).and_then(|config| config.validate()) {
            Ok(()) => {
                println!("Configuration is valid!");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
        ["agent", flags @ ..] => agent::main(flags),
        [executor::COMMAND, rest @ ..] => executor::main(rest),
        [executor::ISOLATED, rest @ ..] => executor::isolated(rest),
        [executor::INNER, rest @ ..] => executor::inner(rest),
        [executor::MISSING, rest @ ..] => executor::missing(rest),
        _ => {
            eprintln!("Usage: nomad version | config validate FILE | agent -config=FILE");
            eprintln!("{}", crate::banner("nomad-double", "Nomad"));
            ExitCode::from(127)
        }
    }
}
