//! `anymetal-init renew`: brings a renewed certificate to Traefik.
//! May not wait for one.

use std::process::ExitCode;

use anymetal_contract::plan::Arch;

use super::{Renew, Trouble, print};
use crate::certificates;
use crate::world::{Overrides, World};

pub(crate) fn run(typed: &Renew) -> Result<ExitCode, Trouble> {
    let world = World::new(&typed.root, Arch::own().unwrap_or(Arch::X86_64), Overrides::default());
    let changed = certificates::renew(&world, &typed.certificate, &typed.key).map_err(|error| Trouble::ours(&error))?;
    print(if changed { "the certificate is with Traefik\n" } else { "Traefik has this certificate already\n" })?;
    Ok(ExitCode::SUCCESS)
}
