//! The release that this node runs, and its plan: by the pins of user-data, from the node's own files, or fetched by digest.
//! May not use a byte of either before it is the pinned one, signed where somebody has to, and not older than what the node has run.

use anymetal_contract::release::Pinned;
use anymetal_contract::{Digest, Outcome, Pins, Reason, Release, place};
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::origin::Missed;
use anymetal_supply::signature::KeyId;

use crate::acquire::document::{Document, fetch};
use crate::phase::{Answer, Steps};
use crate::signature;
use crate::sys::fs;
use crate::trust::{self, Trust};
use crate::wake::digest;
use crate::world::World;

/// A release that counts.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    pub(crate) release: Release,
    pub(crate) digest: Digest,
    /// Who signed it, when somebody had to.
    pub(crate) signer: Option<KeyId>,
}

/// What there is to run.
pub(crate) enum Found {
    /// The plan's bytes, and the release that pins them. A plan without one is for tests, and for running by hand.
    Plan(Vec<u8>, Option<Box<Released>>),
    /// It has not come yet.
    Waiting(Answer),
}

/// The pins of the user-data; `None` when there is no such file.
pub(crate) fn pins(world: &World) -> Result<Option<Pins>, Failure> {
    let path = world.at(place::PINS);
    if !fs::is_there(&path) {
        return Ok(None);
    }
    let text = fs::read_text(&path).because(Reason::ReleaseUnreadable)?;
    let pins: Result<Pins, String> = text.parse();
    pins.map(Some).map_err(|why| unreadable(format!("reading {}: {why}", place::PINS)))
}

/// The plan that this node is to carry out, once it is here.
pub(crate) fn plan(world: &World, steps: &dyn Steps) -> Result<Found, Failure> {
    let before = trust::read(world)?;
    let Some(pins) = pins(world)? else { return unreleased(world, before.as_ref()) };
    let text = match obtain(world, steps, &pins, ("release", place::RELEASE), &pins.release)? {
        Ok(text) => text,
        Err(waiting) => return Ok(Found::Waiting(waiting)),
    };
    let released = judge(world, steps, before.as_ref(), &pins, &text)?;
    let pinned = &released.release.plan;
    if world.plan_file != world.at(place::PLAN) {
        let bytes = fs::read(&world.plan_file).because(Reason::PlanUnreadable)?;
        let found = digest(&bytes);
        if found != pinned.sha256 {
            let what = format!(
                "{} is another plan, sha256 {found}, than the release pins, {}",
                world.plan_file.display(),
                pinned.sha256
            );
            return Err(Failure::new(Reason::ReleaseUnreadable, what));
        }
        return Ok(Found::Plan(bytes, Some(Box::new(released))));
    }
    Ok(match obtain(world, steps, &pins, ("plan", place::PLAN), pinned)? {
        Ok(bytes) => Found::Plan(bytes, Some(Box::new(released))),
        Err(waiting) => Found::Waiting(waiting),
    })
}

/// A plan that no release pins: only where nobody has to sign, and on a node that has never run a release.
fn unreleased(world: &World, before: Option<&Trust>) -> Result<Found, Failure> {
    let bytes = fs::read(&world.plan_file).because(Reason::PlanUnreadable)?;
    if signature::listed(world)?.is_some() {
        let what = format!("there is no {}, and {} names who has to sign", place::PINS, place::SIGNERS);
        return Err(Failure::new(Reason::ReleaseUnsigned, what));
    }
    match before {
        Some(before) if !world.allow_rollback => {
            let what = format!("there is no {}, and this node has run serial {}", place::PINS, before.serial());
            Err(Failure::new(Reason::ReleaseStale, what))
        }
        _ => Ok(Found::Plan(bytes, None)),
    }
}

/// The bytes that are pinned: from their place on the node, else fetched and put there. The answer when they have not come yet.
fn obtain(
    world: &World,
    steps: &dyn Steps,
    pins: &Pins,
    (name, path): (&str, &str),
    pinned: &Pinned,
) -> Result<Result<Vec<u8>, Answer>, Failure> {
    let own = fs::read_if_there(&world.at(path)).because(Reason::ReleaseUnreadable)?;
    if let Some(bytes) = own.filter(|bytes| digest(bytes) == pinned.sha256) {
        return Ok(Ok(bytes));
    }
    match fetch(world, steps, &Document { name, pinned, origins: &pins.origins }) {
        Ok(bytes) => {
            fs::replace(&world.at(path), &bytes, 0o644).because(Reason::HostFault)?;
            Ok(Ok(bytes))
        }
        Err(Missed::NotYet { reason, message, .. }) => Ok(Err(Answer::waiting(reason, format!("{name}: {message}")))),
        // what a place gives now, a captive portal perhaps, it need not give a minute later
        Err(Missed::Never(failure)) if passes(failure.reason) => {
            Ok(Err(Answer::waiting(failure.reason, format!("{name}: {}", failure.chain()))))
        }
        Err(Missed::Never(failure)) => Err(failure),
    }
}

fn passes(reason: Reason) -> bool {
    matches!(reason, Reason::ArtefactMismatch | Reason::ArtefactUnreachable)
}

/// Whether the release in these bytes counts on this node.
fn judge(
    world: &World,
    steps: &dyn Steps,
    before: Option<&Trust>,
    pins: &Pins,
    text: &[u8],
) -> Result<Released, Failure> {
    // before a byte of it is taken for anything
    let signer = signature::check_own(world, before, text)?;
    let digest = digest(text);
    let release = anymetal_supply::bundle::release(text).map_err(|error| unreadable(format!("{error:#}")))?;
    if release.init_digests() != pins.inits {
        return Err(unreadable(format!("the release pins another anymetal-init than {}", place::PINS)));
    }
    match before.map_or(Ok(None), |before| before.judge(&release, &digest)) {
        Ok(odd) => odd.iter().for_each(|odd| steps.step("release", Outcome::Progress, odd)),
        Err(why) if world.allow_rollback => steps.step("release", Outcome::Progress, &format!("{why}; taken, as told")),
        Err(why) => {
            return Err(Failure::new(Reason::ReleaseStale, format!("refusing release {}: {why}", digest.short())));
        }
    }
    Ok(Released { release, digest, signer })
}

fn unreadable(what: String) -> Failure {
    Failure::new(Reason::ReleaseUnreadable, what)
}

#[cfg(test)]
mod tests;
