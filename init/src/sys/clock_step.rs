//! The wall clock, set: what a machine whose hardware clock is hours off needs before it can check a certificate.
//! May not decide whether to: `metadata::clock` does.
#![expect(clippy::disallowed_methods, reason = "this is where the clock is read and set")]

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

/// What the wall clock says.
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Sets the wall clock. Needs `CAP_SYS_TIME`.
pub(crate) fn step(to: SystemTime) -> anyhow::Result<()> {
    let since = to.duration_since(UNIX_EPOCH).context("setting the clock: the time is before 1970")?;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since)).context("setting the clock")
}
