//! What we ask of systemd, through its own programs, found on PATH.
//! May not decide when: `services` does.

use std::time::Duration;

use super::unit::{PROPERTIES, Unit};
use crate::sys::process;

/// How long systemctl may take. It only queues or asks; a minute is for a manager that is reloading on a busy machine.
const LIMIT: Duration = Duration::from_mins(1);
/// How many of a unit's last lines are told.
const TOLD: &str = "20";

/// Makes systemd read its unit files again.
pub(crate) fn daemon_reload() -> anyhow::Result<()> {
    ask(&["daemon-reload"]).map(drop)
}

/// What systemd knows of a unit.
pub(super) fn show(unit: &str) -> anyhow::Result<Unit> {
    ask(&["show", unit, "--property", PROPERTIES]).map(|shown| Unit::read(&shown))
}

/// Lets a unit start at boot.
pub(crate) fn enable(unit: &str) -> anyhow::Result<()> {
    ask(&["enable", unit]).map(drop)
}

/// Forgets earlier failures of a unit, so that its limit on starts does not refuse ours.
pub(crate) fn reset_failed(unit: &str) -> anyhow::Result<()> {
    ask(&["reset-failed", unit]).map(drop)
}

/// Stops a unit, and waits until it is.
pub(crate) fn stop(unit: &str) -> anyhow::Result<()> {
    ask(&["stop", unit]).map(drop)
}

/// Queues `start`, `restart` or `reload`. Does not wait for it: a unit may take as long as the phase's deadline, and what it waits for is
/// to be told meanwhile.
pub(crate) fn queue(verb: &str, unit: &str) -> anyhow::Result<()> {
    ask(&[verb, "--no-block", unit]).map(drop)
}

/// A unit's last lines in the journal; none when the journal does not tell.
pub(crate) fn last_lines(unit: &str) -> String {
    match process::run("journalctl", &["-u", unit, "-n", TOLD, "-o", "cat", "--no-pager"], LIMIT) {
        Ok(said) if said.success => said.last_lines(20).join("\n"),
        _ => String::new(),
    }
}

fn ask(arguments: &[&str]) -> anyhow::Result<String> {
    let said = process::run("systemctl", arguments, LIMIT)?;
    if said.success {
        return Ok(said.output);
    }
    anyhow::bail!("running systemctl {}: {}: {}", arguments.join(" "), said.ending, said.last_lines(5).join("; "))
}
