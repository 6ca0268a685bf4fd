//! Ctrl-C and `kill`: heard by a thread instead of ending the program at once, so that files, or a machine, can be put away first.
//! May not end the program while somebody else hears.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal, raise};

use super::stage;

/// Signals that ask the program to end.
const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

static STATE: Mutex<State> = Mutex::new(State { listens: false, holders: 0, hear: None });

/// Who waits for signals.
struct State {
    /// Whether the thread is there.
    listens: bool,
    /// How many [`Held`] there are.
    holders: usize,
    /// Who hears of them instead of the program being ended.
    hear: Option<Box<dyn Fn() + Send>>,
}

/// For as long as one of these lives, a signal removes what is staged before it ends the program.
#[derive(Debug)]
pub(super) struct Held(());

/// Calls `hear` when somebody asks this program to end. To be called before other threads are started: they inherit that the signals wait.
pub fn on_interrupt(hear: impl Fn() + Send + 'static) -> Result<()> {
    let mut state = state();
    listen(&mut state)?;
    state.hear = Some(Box::new(hear));
    // for good
    state.holders += 1;
    Ok(())
}

/// Holds signals back from the calling thread.
pub(super) fn hold() -> Result<Held> {
    let mut state = state();
    listen(&mut state)?;
    state.holders += 1;
    Ok(Held(()))
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = state();
        state.holders -= 1;
        if state.holders == 0 {
            let _they_wait_for_the_end = wanted().thread_unblock();
        }
    }
}

/// Starts a program that hears of signals itself, whoever holds them back here: it would inherit that they wait.
pub(super) fn let_through<T>(start: impl FnOnce() -> T) -> T {
    if state().holders == 0 {
        return start();
    }
    let _as_before = wanted().thread_unblock();
    let started = start();
    let _as_before = wanted().thread_block();
    started
}

/// Blocks the signals in this thread, and starts the one that waits for them.
fn listen(state: &mut State) -> Result<()> {
    let signals = wanted();
    signals.thread_block().context("asking to hear of signals")?;
    if !state.listens {
        state.listens = true;
        std::thread::spawn(move || {
            while let Ok(signal) = signals.wait() {
                heard(signal);
            }
        });
    }
    Ok(())
}

fn heard(signal: Signal) {
    if let Some(hear) = &state().hear {
        return hear();
    }
    let _nobody_stages_any_more = stage::clear();
    let mut only = SigSet::empty();
    only.add(signal);
    let _ends = only.thread_unblock().and_then(|()| raise(signal));
}

/// Signals that end this program; not those that whoever started it has it ignore, as `nohup` does.
fn wanted() -> SigSet {
    let ignored = ignored();
    ENDING.into_iter().filter(|signal| ignored & (1 << (*signal as u32 - 1)) == 0).collect()
}

/// `SigIgn` of proc(5), a bit for each signal.
fn ignored() -> u64 {
    let status = super::parts::read(std::path::Path::new("/proc/self/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status).into_owned();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
