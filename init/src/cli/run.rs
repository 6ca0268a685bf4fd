//! `anymetal-init run`: puts the world, the list and the journal together and lets the runner run.
//! May not be a second runner.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use anymetal_contract::plan::Arch;
use anymetal_contract::{Reason, place};

use super::{Run, Trouble};
use crate::boot;
use crate::outside::Way;
use crate::report::Journal;
use crate::runner::{Pace, Runner, name_panics};
use crate::sys::console::Console;
use crate::sys::{fs, lock};
use crate::world::{Overrides, World};

/// What a unit is tried again after; the unit's `RestartPreventExitStatus` has the other codes.
const MAY_PASS: u8 = 3;

/// The exit code of a run that failed for this reason.
fn code(reason: Reason) -> u8 {
    if reason.is_final() { 2 } else { MAY_PASS }
}

const COMMAND_LINE: &str = "/proc/cmdline";

pub(crate) fn run(typed: &Run) -> Result<ExitCode, Trouble> {
    let arch = Arch::own().context("looking up this machine's architecture: it is none of ours");
    let arch = arch.map_err(|error| Trouble::passing(&error))?;
    let mut world = World::new(&typed.root, arch, Overrides::default());
    let command_line = fs::read_if_there(&world.at(COMMAND_LINE)).map_err(|error| Trouble::passing(&error))?;
    world.overrides = Overrides::of(&String::from_utf8_lossy(&command_line.unwrap_or_default()));
    world.way = Way::of_environment();
    world.hidden.add(&world.way.hidden());
    if let Some(plan) = &typed.plan {
        world.plan_file.clone_from(plan);
    }
    world.allow_rollback = typed.allow_rollback;
    let asked = lock::ask(&world.at(place::LOCK)).map_err(|error| Trouble::passing(&error))?;
    let _held_to_the_end = match asked {
        lock::Asked::Ours(lock) => lock,
        lock::Asked::Theirs(holder) => {
            let who = holder.map(|id| format!(" (pid {id})")).unwrap_or_default();
            return Err(Trouble::passing(&anyhow::anyhow!("another run is under way{who}")));
        }
    };
    name_panics(world.is_node());
    let mut pace = Pace::NODE;
    if let Some(cap) = typed.backoff_cap_ms {
        pace.backoff = pace.backoff.capped(Duration::from_millis(cap));
    }
    let journal = Journal::open(&world, Console::of(world.is_node()));
    let ended = Runner { table: &boot::LIST, world: Arc::new(world), journal, pace }.run();
    Ok(ExitCode::from(ended.map_or_else(code, |()| 0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_pass_ends_in_a_code_after_which_the_unit_is_tried_again() {
        let unit = include_str!("../../../templates/host/anymetal.service");
        let prevented = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).unwrap();
        let prevented: Vec<u8> = prevented.split(' ').map(|code| code.parse().unwrap()).collect();
        assert!(unit.contains("\nRestart=on-failure\n"));
        for reason in Reason::ALL {
            assert_eq!(prevented.contains(&code(reason)), reason.is_final(), "{reason}");
        }
        // Names that do not resolve, locks of apt, refused connections, pages with 200, full disks.
        for passing in [
            Reason::MetadataUnreachable,
            Reason::MetadataInvalid,
            Reason::ArtefactUnreachable,
            Reason::HostPackageMissing,
            Reason::ServiceFailed,
            Reason::JobNotReady,
            Reason::DiskFull,
            Reason::HostFault,
        ] {
            assert!(!prevented.contains(&code(passing)), "{passing} strands a machine until somebody logs in");
        }
    }
}
