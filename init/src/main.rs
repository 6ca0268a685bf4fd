//! The first boot of an anymetal node: the command map, and nothing else.

mod abilities;
mod access;
mod acquire;
mod announce;
mod api;
mod bird;
mod boot;
mod certificates;
mod cli;
mod cluster;
mod cluster_tls;
mod facts;
mod files;
#[cfg(test)]
mod goldens;
mod guard;
mod install;
mod jobs;
mod ledger;
mod metadata;
mod outside;
mod packages;
mod phase;
mod plan;
mod proof;
mod prove;
mod release;
mod render;
mod report;
mod retry;
mod runner;
mod secret;
mod secrets;
mod services;
mod settle;
mod siblings;
mod signature;
mod status;
mod sys;
mod trust;
mod wake;
mod world;

use std::process::ExitCode;

use cli::Command;

fn main() -> ExitCode {
    let command = match cli::typed() {
        Ok(command) => command,
        Err(code) => return code,
    };
    let ended = match command {
        Command::Run(typed) => cli::run::run(&typed),
        Command::Share(typed) => cli::share::run(&typed),
        Command::Renew(typed) => cli::renew::run(&typed),
        Command::Render(typed) => cli::render::run(&typed),
        Command::Guard(typed) => cli::guard::run(&typed),
        Command::Drain(typed) => cli::drain::run(&typed),
        Command::Undrain(typed) => cli::drain::back(&typed),
        Command::Status(typed) => cli::status::run(&typed),
        Command::Version(typed) => cli::version::run(typed),
    };
    ended.unwrap_or_else(|trouble| trouble.tell())
}
