//! How long something has taken, and what time it is.
//! May not decide by it: who does takes it as a value.
#![expect(clippy::disallowed_methods, reason = "a room of sys: reads the clock")]

use std::time::{Duration, Instant, SystemTime};

/// Runs from when it is made.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// From now on.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since it was started.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// What time it is, by the machine's clock.
pub fn now() -> SystemTime {
    SystemTime::now()
}
