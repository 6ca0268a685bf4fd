//! Ctrl-C and `kill`: heard by a thread instead of ending the program, so that a machine and its files can be put away.
//! May not end anything itself.

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};

/// Calls `hear` when somebody asks this program to end. To be called before other threads are started: they inherit that the signals wait.
pub fn on_interrupt(hear: impl Fn() + Send + 'static) -> anyhow::Result<()> {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        signals.add(signal);
    }
    signals.thread_block().context("asking to hear of signals")?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            hear();
        }
    });
    Ok(())
}
