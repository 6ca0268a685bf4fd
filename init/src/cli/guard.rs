//! `anymetal-init guard`: keeps watch until it is stopped, or withdraws when it has been.
//! May not decide anything: the guard does.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use anymetal_contract::place;
use anymetal_contract::plan::Arch;

use super::{Guard, Trouble};
use crate::guard;
use crate::runner::name_panics;
use crate::world::{Overrides, World};

pub(crate) fn run(typed: &Guard) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    // Where the unit has put a copy that its user may read; root reads the document itself.
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let copy = folder.map(|folder| folder.join(place::GUARD_CREDENTIAL)).filter(|copy| copy.exists());
    let document = copy.unwrap_or_else(|| world.at(place::GUARD));
    if typed.withdraw || typed.withdraw_unless_kept {
        let withdrawn = if typed.withdraw {
            // How the unit's main process ended, in systemd's words (systemd.exec(5)).
            let by = std::env::var_os("SERVICE_RESULT");
            guard::ended(&world, &document, by.as_deref().and_then(OsStr::to_str))
        } else {
            guard::withdraw_unless_kept(&world, &document)
        };
        withdrawn.map_err(|error| Trouble::ours(&error))?;
        return Ok(ExitCode::SUCCESS);
    }
    name_panics(false);
    match guard::keep(&world, &document) {
        Ok(never) => match never {},
        Err(error) => Err(Trouble::ours(&error)),
    }
}
