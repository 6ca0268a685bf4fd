//! How long to wait before the next attempt: growing, capped, jittered.
//! May not wait, nor make the jitter: it is given.

use std::time::Duration;

/// A backoff: doubles from `first` to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) cap: Duration,
}

impl Backoff {
    /// What a node uses. A second is soon enough for a person who watches; fifteen are rare enough for a platform with a thousand nodes
    /// waking at once, and short enough not to matter beside the minutes that what is waited for takes.
    pub(crate) const NODE: Self = Self { first: Duration::from_secs(1), cap: Duration::from_secs(15) };

    /// The same, with no delay longer than `cap`.
    pub(crate) fn capped(self, cap: Duration) -> Self {
        Self { first: self.first.min(cap), cap }
    }

    /// The delay after attempt number `attempt`, counted from 0. `jitter`, from 0 to 1, takes away up to half, so that nodes that failed
    /// together do not come back together.
    pub(crate) fn delay(self, attempt: u32, jitter: f64) -> Duration {
        let doubled = self.first.saturating_mul(2u32.saturating_pow(attempt)).min(self.cap);
        doubled.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_cap_and_stay_there() {
        let seconds: Vec<u64> = (0..7).map(|attempt| Backoff::NODE.delay(attempt, 0.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 15, 15, 15]);
        assert_eq!(Backoff::NODE.delay(u32::MAX, 0.0).as_secs(), 15);
    }

    #[test]
    fn jitter_takes_away_up_to_half() {
        assert_eq!(Backoff::NODE.delay(0, 1.0), Duration::from_millis(500));
        assert_eq!(Backoff::NODE.delay(9, 0.5), Duration::from_millis(11_250));
        assert_eq!(Backoff::NODE.delay(0, 7.0), Duration::from_millis(500), "a jitter beyond 1 counts as 1");
    }

    #[test]
    fn a_lower_cap_binds_the_first_delay_too() {
        let quick = Backoff::NODE.capped(Duration::from_millis(20));
        assert_eq!((quick.delay(0, 0.0), quick.delay(5, 0.0)), (Duration::from_millis(20), Duration::from_millis(20)));
    }
}
