//! `anymetal-init drain` and `undrain`: the operator's wish, left where the guard looks for it, and waited for.
//! May not decide what BIRD is told: the guard does, and where it does not run its room withdraws.

use std::process::ExitCode;
use std::time::Duration;

use anymetal_contract::place;
use anymetal_contract::plan::Arch;

use super::{Drain, Trouble, print};
use crate::guard::{self, GuardStatus};
use crate::sys::{clock, fs};
use crate::world::{Overrides, World};

/// How often the guard's status is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long a guard may take to heed a wish; it looks for one several times a second.
const HEED: Duration = Duration::from_secs(10);

pub(crate) fn run(typed: &Drain) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    let wish = b"drained by `anymetal-init drain`; `anymetal-init undrain` removes this file\n";
    fs::replace(&world.at(place::DRAIN), wish, 0o644).map_err(|error| Trouble::ours(&error))?;
    if typed.no_wait {
        print("the guard drains this node\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let (began, mut told) = (clock::monotonic(), false);
    loop {
        let Some(status) = living(&world)? else {
            // Nothing is announced without a guard: its unit withdraws when it ends, whatever ends it.
            guard::withdraw(&world, &world.at(place::GUARD)).map_err(|error| Trouble::ours(&error))?;
            print("drained: the guard does not run, and will not announce when it does\n")?;
            return Ok(ExitCode::SUCCESS);
        };
        if status.stance == "drained" || status.stance == "maintenance" {
            let file = if status.stance == "maintenance" {
                format!(", and {} is gone", place::MAINTENANCE)
            } else {
                String::new()
            };
            let prefixes = status.prefixes.join(", ");
            print(&format!("drained: {prefixes} is withdrawn, and stays so until `anymetal-init undrain`{file}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
        if status.stance == "draining" && !std::mem::replace(&mut told, true) {
            print(&format!("draining: {}\n", status.why))?;
        }
        if status.stance != "draining" && began.elapsed() > HEED {
            let seconds = HEED.as_secs();
            return Err(Trouble::ours(&anyhow::anyhow!(
                "the guard has not heeded the wish for {seconds} s; `systemctl stop anymetal-guard` withdraws at once"
            )));
        }
        std::thread::sleep(LOOK);
    }
}

pub(crate) fn back(typed: &Drain) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    let was = fs::remove(&world.at(place::DRAIN)).map_err(|error| Trouble::ours(&error))?;
    if fs::is_there(&world.at(place::MAINTENANCE)) {
        let error = anyhow::anyhow!("{} is still there, and keeps this node withdrawn: remove it", place::MAINTENANCE);
        return Err(Trouble::ours(&error));
    }
    if typed.no_wait {
        print("the guard announces again once every proof holds\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let began = clock::monotonic();
    loop {
        let Some(status) = living(&world)? else {
            return Err(Trouble::ours(&anyhow::anyhow!(
                "the guard does not run, so nothing is announced: see `systemctl status anymetal-guard`"
            )));
        };
        let heeded = status.stance != "drained" && status.stance != "draining";
        if heeded || began.elapsed() > HEED {
            let was = if was { "undrained" } else { "it was not drained" };
            print(&format!("{was}: {}: {}\n", status.stance, status.why))?;
            return Ok(ExitCode::from(if heeded { 0 } else { 2 }));
        }
        std::thread::sleep(LOOK);
    }
}

fn living(world: &World) -> Result<Option<GuardStatus>, Trouble> {
    let status = guard::status(world).map_err(|error| Trouble::ours(&error))?;
    Ok(status.filter(|(_, lives)| *lives).map(|(status, _)| status))
}
