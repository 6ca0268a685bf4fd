//! Words for the service manager (`sd_notify(3)`): that the program is ready, and that it is alive.
//! May not fail: without a manager nobody listens.

use sd_notify::NotifyState;

/// The program does what it is for from now on.
pub(crate) fn ready() {
    say(NotifyState::Ready);
}

/// It is not hanging; to be said more often than the unit's `WatchdogSec`.
pub(crate) fn alive() {
    say(NotifyState::Watchdog);
}

fn say(word: NotifyState<'_>) {
    // A manager that does not hear it ends the program, which is what is wanted of a watchdog.
    let _unheard = sd_notify::notify(&[word]);
}
