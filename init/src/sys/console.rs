//! Where lines for people go: stderr, and on a node the console too.
//! May not word or thin them: `report/console.rs` does.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;

use nix::fcntl::OFlag;

/// One or more places that get the same lines. A place that fails is skipped: talk never stops the boot.
pub(crate) struct Console(Vec<Box<dyn Write + Send>>);

impl Console {
    /// stderr, and `/dev/console` besides when this is a node and it can be opened.
    pub(crate) fn of(node: bool) -> Self {
        let mut places: Vec<Box<dyn Write + Send>> = vec![Box::new(std::io::stderr())];
        // Not blocking: a serial line with nobody at its other end must not hold up the boot. What does not fit its buffer is lost there, and
        // still in the journal. Not the controlling terminal: its hang-up is not ours.
        let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
        if node && let Ok(device) = OpenOptions::new().write(true).custom_flags(flags).open("/dev/console") {
            places.push(Box::new(device));
        }
        Self::to(places)
    }

    /// These places.
    pub(crate) fn to(places: Vec<Box<dyn Write + Send>>) -> Self {
        Self(places)
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, line: &str) {
        let whole = format!("{line}\n");
        for place in &mut self.0 {
            let _lost_there = place.write_all(whole.as_bytes()).and_then(|()| place.flush());
        }
    }
}
