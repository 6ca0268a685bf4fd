//! The phase `settle`: what has become of the boot, in one sentence.
//! May not deliver it: the runner waits for the reports afterwards.

use std::fmt;
use std::time::Duration;

use anymetal_contract::{Phase, Reason};

use crate::phase::{Answer, Steps};
use crate::siblings::unit;
use crate::world::World;
use anymetal_supply::failure::Failure;

/// What has become of all other phases; made by the runner when none of them runs any more.
#[derive(Debug, Clone)]
pub(crate) struct Verdict {
    /// How long the boot took.
    pub(crate) took: Duration,
    /// The first failure, when there was one.
    pub(crate) failed: Option<Failed>,
}

/// A phase that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) phase: Phase,
    pub(crate) reason: Reason,
    pub(crate) message: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest, a unit's last lines perhaps, has been told by the phase.
        let sentence = self.message.lines().next().unwrap_or_default();
        write!(f, "boot failed in {}: {sentence}", self.phase)
    }
}

/// The phase's work.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    if world.is_node() {
        unit::hand_over(world, steps);
    }
    let verdict = world.verdict.get().expect("the runner makes the verdict before it starts `settle`");
    if let Some(failed) = &verdict.failed {
        return Err(Failure::new(failed.reason, failed.clone()));
    }
    let plan = world.plan.get().map_or("unknown", |planned| planned.digest.short());
    let release =
        world.released.get().map(|of| format!(", release {} serial {}", of.digest.short(), of.release.serial));
    let release = release.unwrap_or_default();
    let stale = world.machine.get().and_then(|machine| machine.stale_since.as_ref());
    let stale = stale.map(|since| format!("; metadata is stale since {since}")).unwrap_or_default();
    Ok(Answer::Done(format!("node is up, plan {plan}{release}, {} s{stale}", verdict.took.as_secs())))
}
