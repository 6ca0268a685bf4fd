//! `anymetal-init run`: puts the world, the list and the journal together and lets the runner run.
//! May not be a second runner.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::place;
use anymetal_contract::plan::Arch;

use super::{Run, Trouble};
use crate::boot;
use crate::report::Journal;
use crate::runner::{Pace, Runner, name_panics};
use crate::sys::console::Console;
use crate::sys::{fs, lock};
use crate::world::{Overrides, World};

const COMMAND_LINE: &str = "/proc/cmdline";

pub(crate) fn run(typed: &Run) -> Result<ExitCode, Trouble> {
    let arch = Arch::own().context("looking up this machine's architecture: it is none of ours");
    let arch = arch.map_err(|error| Trouble::ours(&error))?;
    let mut world = World::new(&typed.root, arch, Overrides::default());
    let command_line = fs::read_if_there(&world.at(COMMAND_LINE)).map_err(|error| Trouble::ours(&error))?;
    world.overrides = Overrides::of(&String::from_utf8_lossy(&command_line.unwrap_or_default()));
    if let Some(plan) = &typed.plan {
        world.plan_file.clone_from(plan);
    }
    world.allow_rollback = typed.allow_rollback;
    let asked = lock::ask(&world.at(place::LOCK)).map_err(|error| Trouble::ours(&error))?;
    let _held_to_the_end = match asked {
        lock::Asked::Ours(lock) => lock,
        lock::Asked::Theirs(holder) => {
            let who = holder.map(|id| format!(" (pid {id})")).unwrap_or_default();
            return Err(Trouble::ours(&anyhow::anyhow!("another run is under way{who}")));
        }
    };
    name_panics(world.is_node());
    let mut pace = Pace::NODE;
    if let Some(cap) = typed.backoff_cap_ms {
        pace.backoff = pace.backoff.capped(Duration::from_millis(cap));
    }
    let journal = Journal::open(&world, Console::of(world.is_node()));
    let up = Runner { table: &boot::LIST, world: Arc::new(world), journal, pace }.run();
    Ok(ExitCode::from(if up { 0 } else { 2 }))
}
