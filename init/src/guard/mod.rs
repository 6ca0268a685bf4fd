//! The guard: keeps the site's prefixes announced while it is proven that this node serves, and withdrawn otherwise.
//! May not keep them announced for want of an answer: whatever it does not know counts against the node.

mod board;
mod certificate;
mod chain;
mod course;
mod document;
mod firewall;
mod handover;
mod keeper;
mod loopback;
mod repair;
mod tell;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::place;

use crate::bird::Control;
use crate::report::Journal;
use crate::retry::Backoff;
use crate::sys::console::Console;
use crate::sys::fs;
use crate::wake::digest;
use crate::world::World;
pub(crate) use board::GuardStatus;
pub(crate) use chain::{Proven, whole};
use course::State;
pub(crate) use document::Document;
pub(crate) use firewall::Firewall;
use keeper::Keeper;
pub(crate) use loopback::{give_up, own};
use tell::Teller;

/// How long a withdrawal at the unit's end waits for BIRD, each time, and how often it tries.
const WITHDRAWAL: Duration = Duration::from_millis(700);
const TRIES: u32 = 3;
/// The stack of a thread of the guard's, in bytes: they ask and write, and nothing recurses.
const STACK: usize = 256 * 1024;

/// Keeps watch by the document at this path, until the process is ended.
pub(crate) fn keep(world: &World, path: &Path) -> anyhow::Result<Infallible> {
    // First of all: whatever was announced before was proven by somebody else, unless that was this guard until a moment ago.
    let taken_over = handover::take(world);
    let first = if taken_over.is_some() { Ok(()) } else { withdraw(world, path) };
    let bytes = fs::read(path).context("reading what to keep watch by: it is written by `anymetal-init run`")?;
    let document = Document::read(&bytes).with_context(|| format!("reading {}", path.display()))?;
    world.hidden.add(&document.hidden());
    let journal = Journal::of_guard(world, Console::of(false));
    let outside = document.way.outside([]);
    for to in &document.reports {
        journal.attach(to, outside.clone(), Backoff::NODE);
    }
    let prefixes: Vec<String> = document.prefixes.iter().map(ToString::to_string).collect();
    let plan = world.at(place::PLAN);
    let digest = move || fs::read(&plan).map(|bytes| digest(&bytes).to_string()).unwrap_or_default();
    let teller = Teller::new(journal, document.site.clone(), prefixes.join(", "), digest)?;
    let state = match taken_over {
        Some(before) if before == document.prefixes => State::TAKEN_OVER,
        Some(_) => {
            withdraw(world, path)?;
            State::START
        }
        None => State::START,
    };
    teller.started(state.stance);
    if let Err(error) = first {
        teller.trouble("BIRD", format!("{error:#}"));
    }
    Keeper::new(world, document, teller, state)?.keep()
}

/// The end of the guard's unit, `by` systemd's word for how it came about: withdraws what is announced, unless it is about to be started again in
/// order, and takes over then.
pub(crate) fn ended(world: &World, path: &Path, by: Option<&str>) -> anyhow::Result<()> {
    let left = if by == Some("success") { handover::leave(world) } else { Ok(false) };
    if matches!(left, Ok(true)) {
        return Ok(());
    }
    withdraw(world, path)?;
    left.map(drop).context("leaving what is announced to the next guard; it is withdrawn instead")
}

/// Withdraws unless a guard lives, which is waited for: what is left of a restart in order whose second half did not come about.
pub(crate) fn withdraw_unless_kept(world: &World, path: &Path) -> anyhow::Result<()> {
    if handover::is_taken(world) { Ok(()) } else { withdraw(world, path) }
}

/// Withdraws whatever the guard has announced: at its start, and when its unit has ended, however that came about. A BIRD that does not run
/// announces nothing.
pub(crate) fn withdraw(world: &World, path: &Path) -> anyhow::Result<()> {
    let socket = socket(world, path);
    let mut tries = 0;
    loop {
        let withdrawn = Control::open(&socket, WITHDRAWAL).and_then(|mut control| control.withdraw());
        tries += 1;
        match withdrawn {
            Err(_) if !fs::is_there(&socket) => return Ok(()),
            Err(_) if tries < TRIES => {}
            withdrawn => return withdrawn.map(drop),
        }
    }
}

/// BIRD's socket by the document, when that can be read; the operating system's own otherwise.
fn socket(world: &World, path: &Path) -> PathBuf {
    let document = fs::read(path).and_then(|bytes| Document::read(&bytes));
    document.map_or_else(|_| world.at(place::BIRD_SOCKET), |document| document.bird)
}

/// Where the guard stands, and whether it lives; `None` when there has been none since the machine was started.
pub(crate) fn status(world: &World) -> anyhow::Result<Option<(GuardStatus, bool)>> {
    let path = world.at(place::GUARD_STATUS);
    let Some(bytes) = fs::read_if_there(&path)? else { return Ok(None) };
    let status: GuardStatus = serde_json::from_slice(&bytes).with_context(|| format!("reading {}", path.display()))?;
    let lives = crate::sys::process::lives(status.pid);
    Ok(Some((status, lives)))
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK).spawn(work);
    spawned.map(drop).with_context(|| format!("starting the guard's thread {name}"))
}

#[cfg(test)]
pub(crate) mod tests;
