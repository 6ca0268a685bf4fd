//! The site's certificate where Traefik can read it: chain and key in one file for Traefik's group, brought there again when they are renewed.
//! May not make one, nor judge who signed it or until when it holds: the guard sees what Traefik shows.

mod pair;
pub(crate) mod unit;

use std::path::Path;

use anyhow::Context as _;
use anymetal_contract::plan::Tls;
use anymetal_contract::{Outcome, Reason};

use crate::phase::Steps;
use crate::sys::fs::{self, Candidate, Found};
use crate::sys::owner::{self, Owner};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// Where Traefik reads it, both as the certificate and as the key; `templates/traefik/tls.yaml.tera` names it.
const COPY: &str = "/etc/anymetal/traefik/tls/site.pem";
/// What Traefik watches: it reads the certificate anew when this file is exchanged, even for the same one.
const WATCHED: &str = "/etc/anymetal/traefik/tls.yaml";
/// Whose they are: root writes, Traefik reads.
const OWNER: &str = "root:traefik";
/// The step's name.
const STEP: &str = "certificate";

/// What is to be done about the certificate, known before anything is changed.
pub(crate) enum Prepared {
    /// The site has none in files.
    None,
    /// This is to be where Traefik reads.
    Bring(Vec<u8>),
    /// What is at the site's paths cannot be used, and what Traefik has from before can; why.
    Keep(String),
    /// Traefik has none, and this is why.
    Missing(String),
}

/// Reads what the site names, and judges it. Changes nothing.
pub(crate) fn prepare(world: &World) -> Prepared {
    let Tls::Files { certificate, key } = &world.plan().settings.tls else { return Prepared::None };
    match pair::read(&world.at(certificate), &world.at(key)) {
        Ok(pem) => Prepared::Bring(pem),
        Err(error) if kept(world) => Prepared::Keep(format!("{error:#}")),
        Err(error) => Prepared::Missing(format!("{error:#}")),
    }
}

/// Whether Traefik has one from before that is whole.
fn kept(world: &World) -> bool {
    fs::read(&world.at(COPY)).is_ok_and(|pem| pair::judge(&pem).is_ok())
}

/// Makes it so that Traefik has it and knows. Returns whether anything had to be done.
pub(crate) fn bring(world: &World, prepared: &Prepared, steps: &dyn Steps) -> Result<bool, Failure> {
    let changed = match prepared {
        Prepared::None => return Ok(false),
        Prepared::Keep(why) => {
            let words = format!("{why}; Traefik goes on with the one of before");
            steps.step(STEP, Outcome::Progress, &words);
            false
        }
        Prepared::Missing(why) => return Err(Failure::new(Reason::CertificateUnusable, why.clone())),
        Prepared::Bring(pem) => {
            let changed = place(world, pem).because(Reason::HostFault)?;
            let words = if changed { "brought to Traefik" } else { "Traefik has it" };
            steps.step(STEP, if changed { Outcome::Done } else { Outcome::Same }, words);
            changed
        }
    };
    if world.is_node()
        && let Tls::Files { certificate, key } = &world.plan().settings.tls
    {
        unit::watch(certificate, key).because(Reason::ServiceFailed)?;
    }
    Ok(changed)
}

/// What the unit does when a file has changed: as at a boot, for these two files.
pub(crate) fn renew(world: &World, certificate: &Path, key: &Path) -> anyhow::Result<bool> {
    place(world, &pair::read(certificate, key)?)
}

fn place(world: &World, pem: &[u8]) -> anyhow::Result<bool> {
    let (copy, watched) = (world.at(COPY), world.at(WATCHED));
    let owner = if world.is_node() { Some(owner::named(OWNER)?) } else { None };
    let folder = copy.parent().context("a file has a folder")?;
    fs::own_folder(folder, owner.unwrap_or_else(Owner::own), 0o750)?;
    let changed = !is_so(&copy, pem, owner)?;
    if changed {
        let candidate = Candidate::beside(&copy, pem)?;
        candidate.give(owner, 0o640)?;
        candidate.place()?;
    }
    // By the files' ages, so that a kill in between is made good by whoever comes next.
    if let (Some(brought), Some(told)) = (fs::changed(&copy)?, fs::changed(&watched)?)
        && told <= brought
        && let Found::File { mode, owner } = fs::look(&watched)?
    {
        let candidate = Candidate::beside(&watched, &fs::read(&watched)?)?;
        candidate.give(owner::is_root().then_some(owner), mode)?;
        candidate.place()?;
    }
    Ok(changed)
}

fn is_so(copy: &Path, pem: &[u8], owner: Option<Owner>) -> anyhow::Result<bool> {
    match fs::look(copy)? {
        Found::File { mode: 0o640, owner: belongs } => {
            Ok(owner.is_none_or(|owner| owner == belongs) && fs::read(copy)? == pem)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests;
