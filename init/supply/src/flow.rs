//! A body that must keep flowing.
//! May not know where it comes from.

#![expect(
    clippy::disallowed_methods,
    reason = "the flow of a transfer is judged by the clock that runs while it flows"
)]

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Bytes per second below which a stream counts as silent: at this rate the smallest artefact of a site would take most of a day,
/// and an origin that drips would hold the boot for ever.
const LEAST_FLOW: u64 = 1024;

/// A body that must keep flowing.
pub(crate) struct Flowing<R> {
    inner: R,
    window: Window,
}

impl<R> Flowing<R> {
    /// A body that begins now, and ends with an error when hardly anything comes of it for so long.
    pub(crate) fn new(inner: R, silence: Duration) -> Self {
        Self { inner, window: Window { since: Instant::now(), bytes: 0, silence } }
    }
}

impl<R: Read> Read for Flowing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        if length > 0 && !self.window.flows(Instant::now(), length) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "hardly a byte comes any more"));
        }
        Ok(length)
    }
}

/// How much has come since when.
struct Window {
    since: Instant,
    bytes: u64,
    silence: Duration,
}

impl Window {
    /// Whether the flow, with these bytes read by `now`, is still one. Judged once per window.
    fn flows(&mut self, now: Instant, length: usize) -> bool {
        self.bytes += length as u64;
        let open = now.duration_since(self.since);
        if open < self.silence {
            return true;
        }
        let enough = u128::from(self.bytes) * 1000 >= u128::from(LEAST_FLOW) * open.as_millis();
        (self.since, self.bytes) = (now, 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_as_good_as_silence_and_a_slow_flow_is_not() {
        let (start, silence) = (Instant::now(), Duration::from_secs(30));
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut drip = Window { since: start, bytes: 0, silence };
        assert!(drip.flows(after(20), 1), "judged before the window was over");
        assert!(!drip.flows(after(40), 1), "two bytes in 40 s were taken for a flow");
        let mut slow = Window { since: start, bytes: 0, silence };
        assert!(slow.flows(after(31), 32 * 1024), "1 KiB/s was taken for silence");
        assert!(!slow.flows(after(62), 1), "the first window's bytes counted for the second");
    }
}
