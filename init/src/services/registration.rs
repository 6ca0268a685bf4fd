//! A Nomad that does not take its own node up, and when to start it once more.
//! May not start anything: it tells when.
//!
//! From 1.11 on a server signs an identity for each node that registers (nomad pull 26165), by a keyring that its leader makes beside. A client
//! of the same process may come first: `failed to sign node identity claims: keyring has not been initialized yet`; it asks again after 15 to 30
//! seconds. Seen in 16 of 34 first starts of 2.0.5. A restart asks at once, and the keyring is there by then.

use std::time::{Duration, Instant};

/// How long a node that has a leader may be unknown to it. Where the race is won, it is known 0.1 to 0.6 s after the leader.
const PATIENCE: Duration = Duration::from_millis(1200);

/// What is said of it.
pub(super) const RESTARTED: &str =
    "restarted once: it has a leader, and has not registered this node; nothing runs on it yet";

/// How the registration of this node goes.
#[derive(Debug, Default)]
pub(super) struct Registration {
    unknown_since: Option<Instant>,
    restarted: bool,
}

impl Registration {
    /// Takes in that the leader does, or does not, know this node `now`. Returns whether it is time for the one restart that a run has.
    pub(super) fn is_stuck(&mut self, unknown: bool, now: Instant) -> bool {
        if !unknown {
            self.unknown_since = None;
            return false;
        }
        let since = *self.unknown_since.get_or_insert(now);
        let stuck = !self.restarted && now.saturating_duration_since(since) >= PATIENCE;
        self.restarted |= stuck;
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock;

    #[test]
    fn a_node_that_stays_unknown_is_worth_one_restart_and_no_second() {
        let start = clock::monotonic();
        let at = |tenths: u64| start + Duration::from_millis(tenths * 100);
        let mut registration = Registration::default();
        let seen = [(0, true), (5, true), (11, true), (12, true), (13, true), (60, true), (90, true)];
        let stuck: Vec<bool> =
            seen.iter().map(|(tenths, unknown)| registration.is_stuck(*unknown, at(*tenths))).collect();
        assert_eq!(stuck, [false, false, false, true, false, false, false]);
    }

    #[test]
    fn a_node_that_is_known_in_between_has_its_time_anew() {
        let start = clock::monotonic();
        let at = |tenths: u64| start + Duration::from_millis(tenths * 100);
        let mut registration = Registration::default();
        assert!(!registration.is_stuck(true, at(0)) && !registration.is_stuck(false, at(8)));
        assert!(!registration.is_stuck(true, at(10)) && !registration.is_stuck(true, at(21)));
        assert!(registration.is_stuck(true, at(22)));
    }
}
