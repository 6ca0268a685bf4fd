//! Pinned packages from the content store into the system, by dpkg alone: no apt, no network.
//! May not choose one: the plan's list does.

use std::path::PathBuf;

use anymetal_contract::packages::Package;
use anymetal_contract::plan::Listed;
use anymetal_contract::{Outcome, Reason};

use super::packages::{Became, held_back};
use crate::packages::{self, dpkg};
use crate::phase::Steps;
use crate::plan::count;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// How many of dpkg's last lines are told.
const TOLD: usize = 10;
/// The step's name.
const STEP: &str = "packages";

/// Makes sure that every package of the list is installed, in its version or a newer one.
pub(super) fn ensure(world: &World, listed: &Listed, steps: &dyn Steps) -> Result<Became, Failure> {
    let store = world.store()?;
    let list = packages::read(world, &store, listed)?;
    let dpkg = world.dpkg();
    let look = || packages::missing(&list, &dpkg).because(Reason::HostPackageMissing);
    let mut missing = look()?;
    if missing.is_empty() {
        return Ok(Became::Same);
    }
    if let Some(held) = held_back(world) {
        return Ok(held);
    }
    let all = named(&missing);
    let what = format!("installing {} of the plan's list: {all}", count(missing.len(), "package"));
    steps.step(STEP, Outcome::Progress, &what);
    loop {
        let file = |package: &Package| store.dir().join(package.sha256.as_str());
        let files: Vec<PathBuf> = missing.iter().map(file).collect();
        let said = dpkg.install(&files).because(Reason::HostPackageMissing)?;
        if dpkg::is_locked(&said) {
            return Ok(Became::Waits("packages: somebody else is at work with dpkg".into()));
        }
        let left = look()?;
        if left.is_empty() {
            steps.step(STEP, Outcome::Done, &format!("installed from the plan's list: {all}"));
            return Ok(Became::Changed);
        }
        // One that has to be configured before the next may even be unpacked (Pre-Depends) is now: once more, for as long as it helps.
        if left.len() >= missing.len() {
            let lines = said.last_lines(TOLD).join("\n");
            let message = format!("dpkg does not install {} ({})\n{lines}", named(&left), said.ending);
            return Err(Failure::new(Reason::HostPackageMissing, message));
        }
        missing = left;
    }
}

fn named(packages: &[Package]) -> String {
    let words: Vec<_> = packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    words.join(", ")
}
