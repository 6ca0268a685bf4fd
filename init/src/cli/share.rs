//! `anymetal-init share`: gives this node's blobs to its siblings until it is stopped.
//! May not fetch any.

use std::process::ExitCode;

use anymetal_contract::place;
use anymetal_contract::plan::Arch;

use super::{Share, Trouble};
use crate::runner::name_panics;
use crate::siblings::{self, Place};
use crate::world::{Overrides, World};

pub(crate) fn run(typed: &Share) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    let Some(place) = Place::at(typed.address) else {
        let error =
            anyhow::anyhow!("{} is no address on a link that others are on: name one as 10.70.17.11/24", typed.address);
        return Err(Trouble::given(&error));
    };
    name_panics(false);
    match siblings::give(place, &world.at(place::STORE)) {
        Ok(never) => match never {},
        Err(error) => Err(Trouble::ours(&error)),
    }
}
