//! `anymetal-init guard`: keeps watch until it is stopped, or withdraws when it has been.
//! May not decide anything: the guard does.

use std::process::ExitCode;

use anymetal_contract::plan::Arch;

use super::{Guard, Trouble};
use crate::guard;
use crate::runner::name_panics;
use crate::world::{Overrides, World};

pub(crate) fn run(typed: &Guard) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    if typed.withdraw {
        guard::withdraw(&world).map_err(|error| Trouble::ours(&error))?;
        return Ok(ExitCode::SUCCESS);
    }
    name_panics(false);
    match guard::keep(&world) {
        Ok(never) => match never {},
        Err(error) => Err(Trouble::ours(&error)),
    }
}
