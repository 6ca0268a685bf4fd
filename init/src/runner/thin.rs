//! Which progress and which waits are worth an event.
//! May not read a clock: it is told the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::report::Amount;

/// Progress of one step becomes an event at most so often. A bar that moves once a second is alive.
const PROGRESS: Duration = Duration::from_secs(1);
/// The same wait is said again so often: seldom enough to read, often enough to know that somebody is there.
const WAIT: Duration = Duration::from_secs(30);

/// Thins the progress of a phase, step by step.
#[derive(Debug, Default)]
pub(super) struct Progress(BTreeMap<String, Step>);

#[derive(Debug)]
struct Step {
    said: Amount,
    when: Instant,
    held: Option<Amount>,
}

impl Progress {
    /// What to say of this: nothing, or the amount. The first, the whole and at most one a second are said.
    pub(super) fn note(&mut self, now: Instant, step: &str, amount: Amount) -> Option<Amount> {
        let Some(known) = self.0.get_mut(step) else {
            self.0.insert(step.to_owned(), Step { said: amount, when: now, held: None });
            return Some(amount);
        };
        if amount == known.said {
            return None;
        }
        if amount.total != Some(amount.done) && now.duration_since(known.when) < PROGRESS {
            known.held = Some(amount);
            return None;
        }
        *known = Step { said: amount, when: now, held: None };
        Some(amount)
    }

    /// The step has ended: what was held back of it, which is its last.
    pub(super) fn end(&mut self, step: &str) -> Option<Amount> {
        self.0.remove(step)?.held
    }

    /// The phase has ended: what was held back of any step.
    pub(super) fn end_all(&mut self) -> Vec<(String, Amount)> {
        let steps = std::mem::take(&mut self.0);
        steps.into_iter().filter_map(|(step, state)| Some((step, state.held?))).collect()
    }
}

/// Thins the waits of a phase.
#[derive(Debug, Default)]
pub(super) struct Waits(Option<(String, Instant)>);

impl Waits {
    /// Whether to say that this is waited for: the first time, when it is something else, and now and then.
    pub(super) fn note(&mut self, now: Instant, message: &str) -> bool {
        let known = self.0.as_ref().is_some_and(|(said, when)| said == message && now.duration_since(*when) < WAIT);
        if !known {
            self.0 = Some((message.to_owned(), now));
        }
        !known
    }
}

#[cfg(test)]
mod tests {
    use anymetal_contract::Unit;

    use super::*;
    use crate::sys::clock;

    fn bytes(done: u64, total: Option<u64>) -> Amount {
        Amount { done, total, unit: Unit::Bytes }
    }

    #[test]
    fn progress_is_said_first_then_each_second_and_whole() {
        let start = clock::monotonic();
        let mut thin = Progress::default();
        let mut note = |millis: u64, step: &str, done: u64| {
            thin.note(start + Duration::from_millis(millis), step, bytes(done, Some(10))).is_some()
        };
        assert!(note(0, "a", 0));
        assert!(!note(500, "a", 3));
        assert!(note(500, "b", 3), "each step is thinned alone");
        assert!(note(1000, "a", 4));
        assert!(!note(1500, "a", 9));
        assert!(note(1600, "a", 10), "the whole is always said");
        assert!(!note(9000, "a", 10), "but once");
    }

    #[test]
    fn the_last_that_was_held_back_is_said_at_the_end() {
        let now = clock::monotonic();
        let mut thin = Progress::default();
        for done in 0..3 {
            thin.note(now, "a", bytes(done, None));
            thin.note(now, "b", bytes(done, None));
        }
        assert_eq!(thin.end("a"), Some(bytes(2, None)));
        assert_eq!(thin.end("a"), None);
        assert_eq!(thin.end_all(), [("b".to_owned(), bytes(2, None))]);
    }

    #[test]
    fn a_wait_is_said_when_it_is_new_and_every_half_minute() {
        let start = clock::monotonic();
        let mut waits = Waits::default();
        let mut note = |seconds: u64, message: &str| waits.note(start + Duration::from_secs(seconds), message);
        let said = [note(0, "x"), note(29, "x"), note(30, "x"), note(31, "y"), note(32, "y"), note(33, "x")];
        assert_eq!(said, [true, false, true, true, false, true]);
    }
}
