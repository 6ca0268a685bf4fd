//! What a phase is to the runner: a function from the world to an answer.
//! May not number, time, retry or report: the runner alone does.

use std::time::Instant;

use anymetal_contract::{Outcome, Phase, Reason, Unit};

use crate::world::World;
use anymetal_supply::failure::Failure;

/// One line of the table in `boot.rs`.
pub(crate) struct Entry {
    pub(crate) phase: Phase,
    /// Starts when all of these have ended well.
    pub(crate) needs: &'static [Phase],
    /// How long it may take, waits included, unless the plan says otherwise. Seconds.
    pub(crate) deadline: u32,
    /// What it means when it still waits at its deadline.
    pub(crate) late: Late,
    /// `None`: this init has no work for it; a plan that asks for it is refused.
    pub(crate) work: Option<Work>,
}

/// What it means that a phase still waits at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// The boot has failed.
    Fails,
    /// What it waits for goes on by itself; the boot says so and ends.
    GoesOn,
}

/// Makes the phase's promise true, or says why not. Called again after `Waiting`, until the deadline.
pub(crate) type Work = fn(&World, &dyn Steps) -> Result<Answer, Failure>;

/// What a phase answers when it has not failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// True now; the sentence says what was done.
    Done(String),
    /// Was true already.
    Same(String),
    /// Not yet, for a cause outside; ask again. At the deadline this becomes a failure with this reason, and then with these lines: the last
    /// words of what is waited for, without secrets, as many as help a person.
    Waiting { reason: Reason, message: String, lines: String },
}

impl Answer {
    /// Not yet, and there is nobody whose words would tell more.
    pub(crate) fn waiting(reason: Reason, message: impl Into<String>) -> Self {
        Self::Waiting { reason, message: message.into(), lines: String::new() }
    }
}

/// Where a phase says how far it is. The runner turns it into events; progress may be thinned out, the rest never is.
pub(crate) trait Steps: Sync {
    /// Something became of a step.
    fn step(&self, step: &str, outcome: Outcome, message: &str);
    /// A step is so far.
    fn progress(&self, step: &str, done: u64, total: Option<u64>, unit: Unit);
    /// When the phase's time is over, where it has a limit.
    fn deadline(&self) -> Option<Instant> {
        None
    }
}
