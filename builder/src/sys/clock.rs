//! How long something has taken, and letting time pass.
//! May not tell the time of day.
#![expect(clippy::disallowed_methods, reason = "a room of sys: reads the clock")]

use std::time::{Duration, Instant};

/// Does nothing for so long.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

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
