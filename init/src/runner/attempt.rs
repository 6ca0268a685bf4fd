//! One phase in its thread: its work called again while it waits, to its deadline; what it says, made into events.
//! May not start another phase, nor keep the ledger: the runner does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anymetal_contract::{Outcome, Phase, Reason, Unit};

use super::thin::{Progress, Waits};
use crate::phase::{Answer, Late, Steps, Work};
use crate::report::words::amount;
use crate::report::{Amount, Journal, Said};
use crate::retry::Backoff;
use crate::sys::clock;
use crate::world::World;
use anymetal_supply::failure::Failure;

/// How a phase ended.
#[derive(Debug)]
pub(super) enum Ending {
    Done(String),
    Same(String),
    Failed(Failure),
    /// It was waiting when another phase failed, and is not asked again. It waited for this.
    LetGo(String),
}

/// Told to all phases when one has failed: whoever waits need not.
#[derive(Debug, Default)]
pub(super) struct Doom {
    told: Mutex<bool>,
    news: Condvar,
}

impl Doom {
    pub(super) fn tell(&self) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.news.notify_all();
    }

    /// Waits so long. Says whether the boot has failed.
    fn rest(&self, pause: Duration) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, _) =
            self.news.wait_timeout_while(told, pause, |told| !*told).unwrap_or_else(PoisonError::into_inner);
        *told
    }
}

/// How long a phase is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) backoff: Backoff,
    pub(super) deadline: Duration,
}

/// Calls the work of a phase until it has ended or its deadline has come. The last call is at the deadline.
pub(super) fn attempt(work: (Work, Late), world: &World, voice: &Voice, patience: Patience, doom: &Doom) -> Ending {
    let (work, late) = work;
    let Patience { backoff, deadline } = patience;
    let began = clock::monotonic();
    let (mut tries, mut subject) = (0, String::new());
    loop {
        let answer = match catch_unwind(AssertUnwindSafe(|| work(world, voice))) {
            Ok(Ok(answer)) => answer,
            Ok(Err(failure)) => return Ending::Failed(failure),
            Err(panic) => return Ending::Failed(panicked(&*panic)),
        };
        let (reason, message, lines) = match answer {
            Answer::Done(message) => return Ending::Done(message),
            Answer::Same(message) => return Ending::Same(message),
            Answer::Waiting { reason, message, lines } => (reason, message, lines),
        };
        let waited = began.elapsed();
        let Some(left) = deadline.checked_sub(waited).filter(|left| !left.is_zero()) else {
            if late == Late::GoesOn {
                return Ending::Done(format!("{message}; not waited for any longer after {} s", deadline.as_secs()));
            }
            let lines = if lines.is_empty() { lines } else { format!("\n{lines}") };
            let message = format!("{message}, gave up after {} s{lines}", deadline.as_secs());
            return Ending::Failed(Failure::new(reason, message));
        };
        voice.waiting(&message, waited, deadline);
        // Something got on: the next thing may be there at once, and is asked for as often as the first was.
        let about = message.split(':').next().unwrap_or_default();
        if about != subject {
            (tries, subject) = (0, about.to_owned());
        }
        if doom.rest(backoff.delay(tries, fastrand::f64()).min(left)) {
            return Ending::LetGo(message);
        }
        tries += 1;
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without words".to_owned());
    Failure::new(Reason::Internal, format!("it panicked: {text}"))
}

/// What one phase says, thinned and numbered.
pub(super) struct Voice {
    phase: Phase,
    deadline: Instant,
    journal: Arc<Journal>,
    progress: Mutex<Progress>,
    waits: Mutex<Waits>,
    /// A phase that has been given up is not listened to any more.
    hushed: AtomicBool,
}

impl Voice {
    pub(super) fn new(phase: Phase, deadline: Instant, journal: Arc<Journal>) -> Self {
        let (progress, waits, hushed) = (Mutex::default(), Mutex::default(), AtomicBool::new(false));
        Self { phase, deadline, journal, progress, waits, hushed }
    }

    /// The phase has ended: what was held back is said, and then nothing more.
    pub(super) fn hush(&self) {
        for (step, so_far) in lock(&self.progress).end_all() {
            self.say_progress(&step, so_far);
        }
        self.hushed.store(true, Ordering::SeqCst);
    }

    fn waiting(&self, message: &str, waited: Duration, deadline: Duration) {
        if lock(&self.waits).note(clock::monotonic(), message) {
            let so_far = Amount { done: waited.as_secs(), total: Some(deadline.as_secs()), unit: Unit::Seconds };
            self.say(&Said { amount: Some(so_far), ..Said::new(self.phase, Outcome::Waiting, message) });
        }
    }

    fn say_progress(&self, step: &str, so_far: Amount) {
        let message = amount(so_far.done, so_far.total, so_far.unit);
        let said = Said::new(self.phase, Outcome::Progress, &message);
        self.say(&Said { step: Some(step), amount: Some(so_far), ..said });
    }

    fn say(&self, said: &Said<'_>) {
        if !self.hushed.load(Ordering::SeqCst) {
            self.journal.say(said);
        }
    }
}

impl Steps for Voice {
    fn step(&self, step: &str, outcome: Outcome, message: &str) {
        let held = if outcome.is_end() { lock(&self.progress).end(step) } else { None };
        if let Some(held) = held {
            self.say_progress(step, held);
        }
        self.say(&Said { step: Some(step), ..Said::new(self.phase, outcome, message) });
    }

    fn progress(&self, step: &str, done: u64, total: Option<u64>, unit: Unit) {
        let said = lock(&self.progress).note(clock::monotonic(), step, Amount { done, total, unit });
        if let Some(so_far) = said {
            self.say_progress(step, so_far);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        Some(self.deadline)
    }
}

fn lock<T>(thing: &Mutex<T>) -> MutexGuard<'_, T> {
    thing.lock().unwrap_or_else(PoisonError::into_inner)
}
