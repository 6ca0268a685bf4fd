//! The phase `announce`: the guard runs, holds the route, and BIRD has told a neighbour.
//! May not announce by itself: the guard alone does.

use anymetal_contract::{Reason, place};

use crate::bird::{Control, PATIENCE};
use crate::guard::{self, GuardStatus};
use crate::phase::{Answer, Steps};
use crate::services;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let touched = match services::guard(world, steps)? {
        Ok(touched) => touched,
        Err(not_yet) => return Ok(not_yet),
    };
    let waiting = |why: String| Ok(Answer::waiting(Reason::ProofFailed, why));
    let Some((status, true)) = guard::status(world).because(Reason::HostFault)? else {
        return waiting("the guard has not begun yet".to_owned());
    };
    let prefixes = status.prefixes.join(", ");
    match status.stance.as_str() {
        "announced" | "last" | "draining" => {}
        "drained" | "maintenance" => {
            return Ok(Answer::Done(format!("{prefixes} is not announced: {}", status.why)));
        }
        _ => return waiting(format!("{prefixes} is not announced yet: {}", lacking(&status))),
    }
    let told = match told(world) {
        Ok(told) => told,
        Err(error) => return waiting(format!("asking BIRD whom it has told: {error:#}")),
    };
    if told.is_empty() {
        return waiting(format!("{prefixes} is announced, but BIRD has told no neighbour yet"));
    }
    let message = format!("{prefixes} {} to {}", status.stance, told.join(", "));
    Ok(if touched { Answer::Done(message) } else { Answer::Same(message) })
}

/// What keeps the guard from announcing, by its latest round.
fn lacking(status: &GuardStatus) -> String {
    let wrong = status.proofs.iter().find(|proof| !proof.holds);
    wrong.map_or_else(
        || "the proofs hold, and are to hold some more times".to_owned(),
        |proof| format!("{}: {}", proof.name, proof.why.as_deref().unwrap_or_default()),
    )
}

/// The neighbours to which BIRD exports something. Whether they took it only they know: BGP has no receipts.
fn told(world: &World) -> anyhow::Result<Vec<&str>> {
    let mut control = Control::open(&world.at(place::BIRD_SOCKET), PATIENCE)?;
    let mut told = Vec::new();
    for name in world.facts().neighbours() {
        if control.exported(name)?.is_some_and(|count| count > 0) {
            told.push(name);
        }
    }
    Ok(told)
}
