//! Whether a task that ended is started again, and when.
//! May not wait or start anything.

use serde_json::Value;

/// The restart policy of a task, with what it has seen.
#[derive(Debug, Clone)]
pub struct Tracker {
    attempts: i64,
    interval: i64,
    delay: i64,
    fails: bool,
    on_success: bool,
    count: i64,
    since: i64,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Started again after so many nanoseconds.
    Again { reason: String, delay: i64 },
    /// Failed for good.
    Fail(String),
    /// Done well.
    Done(String),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With 0.
    Well,
    /// With anything else.
    Badly,
    /// It never started, and never will.
    Unstartable,
}

impl Tracker {
    /// Of a task of a job of this type.
    pub fn new(policy: &Value, job_type: &str, now: i64) -> Self {
        let number = |key: &str| policy[key].as_i64().unwrap_or(0);
        Self {
            attempts: number("Attempts"),
            interval: number("Interval"),
            delay: number("Delay"),
            fails: policy["Mode"] != "delay",
            on_success: job_type == "service" || job_type == "system",
            count: 0,
            since: now,
        }
    }

    /// Decides. `jitter` is between 0 and 1.
    pub fn next(&mut self, ended: Ended, now: i64, jitter: f64) -> Next {
        let done = ended == Ended::Well && !self.on_success;
        if self.attempts == 0 {
            let reason = "Policy allows no restarts".to_owned();
            return if done { Next::Done(reason) } else { Next::Fail(reason) };
        }
        if now > self.since + self.interval {
            self.count = 0;
            self.since = now;
        }
        self.count += 1;
        if ended == Ended::Unstartable {
            return Next::Fail("Error was unrecoverable".to_owned());
        }
        if done {
            return Next::Done("Restart unnecessary as task terminated successfully".to_owned());
        }
        if self.count > self.attempts {
            if self.fails {
                let interval = crate::clock::words(self.interval);
                let attempts = self.attempts;
                return Next::Fail(format!(
                    "Exceeded allowed attempts {attempts} in interval {interval} and mode is \"fail\""
                ));
            }
            let delay = self.since + self.interval - now;
            return Next::Again { reason: "Exceeded allowed attempts, applying a delay".to_owned(), delay };
        }
        // A quarter of the delay at most, so that many tasks do not start at once.
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a part of a delay that fits")]
        let more = (self.delay as f64 * 0.25 * jitter) as i64;
        Next::Again { reason: "Restart within policy".to_owned(), delay: self.delay + more }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tracker(attempts: i64, mode: &str, job_type: &str) -> Tracker {
        Tracker::new(
            &json!({"Attempts": attempts, "Interval": 60_000_000_000_i64, "Delay": 1000, "Mode": mode}),
            job_type,
            0,
        )
    }

    #[test]
    fn attempts_are_counted_within_the_interval() {
        let mut service = tracker(1, "fail", "service");
        let again = Next::Again { reason: "Restart within policy".into(), delay: 1000 };
        assert_eq!(service.next(Ended::Badly, 1, 0.0), again);
        let over = Next::Fail("Exceeded allowed attempts 1 in interval 1m0s and mode is \"fail\"".into());
        assert_eq!(service.next(Ended::Badly, 2, 0.0), over);
        assert_eq!(service.next(Ended::Badly, 60_000_000_001, 0.0), again);
    }

    #[test]
    fn mode_delay_waits_for_the_next_interval() {
        let mut service = tracker(1, "delay", "service");
        service.next(Ended::Badly, 1, 0.0);
        let wait = service.next(Ended::Badly, 10, 0.0);
        let reason = "Exceeded allowed attempts, applying a delay".to_owned();
        assert_eq!(wait, Next::Again { reason, delay: 59_999_999_990 });
    }

    #[test]
    fn a_batch_that_ends_well_is_done_and_a_service_is_not() {
        assert!(matches!(tracker(1, "fail", "batch").next(Ended::Well, 1, 0.0), Next::Done(_)));
        assert!(matches!(tracker(1, "fail", "service").next(Ended::Well, 1, 0.0), Next::Again { .. }));
        assert!(matches!(tracker(0, "fail", "service").next(Ended::Badly, 1, 0.0), Next::Fail(_)));
        let gone = Next::Fail("Error was unrecoverable".into());
        assert_eq!(tracker(3, "fail", "service").next(Ended::Unstartable, 1, 0.0), gone);
    }
}
