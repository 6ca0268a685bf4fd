//! What is unpacked, and not yet used: a version in its folder or beside it, put into use in one go once every file of the plan is good.
//! May not unpack anything.

use std::path::{Component as Part, Path, PathBuf};
use std::sync::PoisonError;

use anymetal_contract::{Outcome, Reason, place};

use crate::phase::Steps;
use crate::sys::tree::{self, CURRENT, Staging};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// A component's version that is whole on the disk.
pub(crate) struct Prepared {
    pub(super) component: String,
    pub(super) version: String,
    /// It was unpacked by this run.
    pub(super) fresh: bool,
    /// It takes the place of a folder that may be in use, and still lies beside it.
    pub(super) staging: Option<Staging>,
}

impl Prepared {
    fn home(&self, world: &World) -> PathBuf {
        world.at(Path::new(place::OPT).join(&self.component))
    }

    /// Where it is now.
    fn dir(&self, world: &World) -> PathBuf {
        self.staging.as_ref().map_or_else(|| self.home(world).join(&self.version), |staging| staging.dir().to_owned())
    }
}

/// Puts everything that has been prepared into use. Returns a sentence for each component whose version in use became another.
pub(crate) fn switch(world: &World, steps: &dyn Steps) -> Result<Vec<String>, Failure> {
    let prepared = std::mem::take(&mut *world.prepared.lock().unwrap_or_else(PoisonError::into_inner));
    let mut switched = Vec::new();
    for mut one in prepared {
        let home = one.home(world);
        if let Some(staging) = one.staging.take() {
            staging.finish().because(Reason::HostFault)?;
        }
        let before = tree::current(&home);
        let moved = tree::point(&home, &one.version).because(Reason::HostFault)?;
        if moved || one.fresh {
            world.changed.lock().unwrap_or_else(PoisonError::into_inner).insert(one.component.clone());
        }
        if let (true, Some(before)) = (moved, before) {
            let sentence = format!("{} {} made current", one.component, one.version);
            steps.step(&one.component, Outcome::Done, &format!("{sentence}, was {}", before.display()));
            switched.push(sentence);
        }
    }
    Ok(switched)
}

/// Where a path of the node is as it will be once everything prepared is in use: a file is judged by the program it is for, not by the
/// one that runs until then.
pub(crate) fn soon(world: &World, path: &str) -> PathBuf {
    let parts: Vec<_> =
        Path::new(path).strip_prefix(place::OPT).map(|rest| rest.components().collect()).unwrap_or_default();
    if let [Part::Normal(component), Part::Normal(current), rest @ ..] = &parts[..]
        && *current == CURRENT
        && let Some(one) = world
            .prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .find(|one| component.to_str() == Some(&one.component))
    {
        return one.dir(world).join(rest.iter().collect::<PathBuf>());
    }
    world.at(path)
}
