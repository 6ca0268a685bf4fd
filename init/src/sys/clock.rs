//! What time it is.
//! May not decide anything by it: rooms that decide take `now` as a value.
#![expect(clippy::disallowed_methods, reason = "this is the room that reads the clocks")]

use std::time::{Duration, Instant, SystemTime};

/// The wall clock, as wrong as the machine has it.
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// How long the machine has been on.
pub(crate) fn since_boot() -> Duration {
    nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}

/// The clock that never jumps; for durations and deadlines.
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
