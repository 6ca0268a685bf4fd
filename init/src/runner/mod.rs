//! The runner: starts each phase of the list when what it needs has ended well; numbers, times, tells and keeps the ledger.
//! May not know what a phase does.

mod attempt;
mod thin;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anymetal_contract::{Outcome, Phase, Reason};

use crate::ledger::Ended;
use crate::phase::Entry;
use crate::report::{self, Journal, Said};
use crate::retry::Backoff;
use crate::settle::{Failed, Verdict};
use crate::sys::clock;
use crate::world::World;
use anymetal_supply::failure::Failure;
use attempt::{Doom, Ending, Patience, Voice, attempt};

/// A boot to be run.
pub(crate) struct Runner {
    pub(crate) table: &'static [Entry],
    pub(crate) world: Arc<World>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) pace: Pace,
}

/// How patient a run is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between two calls of a phase that waits, and between two tries of a report.
    pub(crate) backoff: Backoff,
    /// How long after its deadline a phase that has not even answered is given up.
    pub(crate) grace: Duration,
}

impl Pace {
    /// What a node uses. The grace lets the longest single question (20 s, `sys/http.rs`) of the last attempt come to its end.
    pub(crate) const NODE: Self = Self { backoff: Backoff::NODE, grace: Duration::from_secs(30) };

    /// Between two calls of this phase. Those that ask nobody but this machine have no platform to spare.
    fn between(self, phase: Phase) -> Backoff {
        let local = matches!(phase, Phase::Services | Phase::Jobs | Phase::Prove | Phase::Announce);
        if local { self.backoff.capped(Duration::from_millis(500)) } else { self.backoff }
    }
}

/// What has become of the phases so far.
#[derive(Default)]
struct Course {
    ended: BTreeMap<Phase, Outcome>,
    running: BTreeMap<Phase, Running>,
    failed: Option<Failed>,
}

struct Running {
    since: Instant,
    deadline: Duration,
    voice: Arc<Voice>,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Start(Phase),
    /// It is not part of the plan.
    PassOver(Phase),
    Wait,
    /// All has ended, `settle` too.
    End,
}

impl Runner {
    /// Runs the boot to its end. Fails with why the node is not up.
    pub(crate) fn run(&self) -> Result<(), Reason> {
        let began = clock::monotonic();
        let (sender, receiver) = mpsc::channel();
        let doom = Arc::new(Doom::default());
        let mut course = Course::default();
        report::attach_known(&self.journal, &self.world, self.pace.backoff);
        loop {
            let part = self.world.plan.get().map(|planned| &planned.plan.phases);
            match next(self.table, &course, part) {
                Next::Start(phase) => self.start(&mut course, phase, began, &sender, &doom),
                Next::PassOver(phase) => {
                    course.ended.insert(phase, Outcome::Absent);
                    self.keep(phase, Outcome::Absent, Duration::ZERO);
                    self.journal.say(&Said::new(phase, Outcome::Absent, "not part of this plan"));
                }
                Next::Wait => match receiver.recv_timeout(self.patience(&course)) {
                    Ok((phase, ending)) => self.end(&mut course, phase, ending, &doom),
                    Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => self.give_up(&mut course, &doom),
                },
                Next::End => break,
            }
        }
        self.journal.settle(self.deadline(Phase::Settle));
        let up = course.ended.get(&Phase::Settle).is_some_and(|outcome| outcome.is_good());
        if up { Ok(()) } else { Err(course.failed.map_or(Reason::Internal, |failed| failed.reason)) }
    }

    fn start(
        &self,
        course: &mut Course,
        phase: Phase,
        began: Instant,
        sender: &Sender<(Phase, Ending)>,
        doom: &Arc<Doom>,
    ) {
        if phase == Phase::Settle {
            let verdict = Verdict { took: began.elapsed(), failed: course.verdict(self.table) };
            let _made_once = self.world.verdict.set(verdict);
        }
        let (since, deadline) = (clock::monotonic(), self.deadline(phase));
        let voice = Arc::new(Voice::new(phase, since + deadline, Arc::clone(&self.journal)));
        course.running.insert(phase, Running { since, deadline, voice: Arc::clone(&voice) });
        self.journal.say(&Said::new(phase, Outcome::Started, "started"));
        let Some(work) = self.entry(phase).work else {
            // The phase `plan` refuses a plan that names such a phase.
            let failure = Failure::new(Reason::PlanBeyondInit, format!("this init has no work for the phase {phase}"));
            return self.end(course, phase, Ending::Failed(failure), doom);
        };
        let work = (work, self.entry(phase).late);
        let (world, patience) = (Arc::clone(&self.world), Patience { backoff: self.pace.between(phase), deadline });
        let (sender, doom_of_all) = (sender.clone(), Arc::clone(doom));
        let spawned = std::thread::Builder::new().name(phase.id().to_owned()).spawn(move || {
            let ending = attempt(work, &world, &voice, patience, &doom_of_all);
            // Nobody listens any more when the phase has been given up and the run is over.
            let _heard = sender.send((phase, ending));
        });
        if let Err(error) = spawned {
            let error = anyhow::Error::new(error).context(format!("starting the thread of {phase}"));
            self.end(course, phase, Ending::Failed(Failure { reason: Reason::HostFault, error }), doom);
        }
    }

    fn end(&self, course: &mut Course, phase: Phase, ending: Ending, doom: &Doom) {
        // Not running: it has been given up before.
        let Some(running) = course.running.remove(&phase) else { return };
        running.voice.hush();
        let took = running.since.elapsed();
        let (outcome, reason, message) = match ending {
            Ending::Done(message) => (Outcome::Done, None, message),
            Ending::Same(message) => (Outcome::Same, None, message),
            Ending::Failed(failure) => (Outcome::Failed, Some(failure.reason), failure.chain()),
            Ending::LetGo(message) => {
                let failed = course.failed.as_ref().map_or("another phase", |failed| failed.phase.id());
                let message = format!("{message}; not waited for any longer, since {failed} has failed");
                return self.journal.say(&Said::new(phase, Outcome::Waiting, &message));
            }
        };
        if let Some(planned) = self.world.plan.get() {
            self.journal.identify(&planned.plan.site, planned.digest.as_str());
            self.journal.release(self.world.released.get());
        }
        self.keep(phase, outcome, took);
        self.journal.say(&Said { reason, took: Some(took), ..Said::new(phase, outcome, &message) });
        course.ended.insert(phase, outcome);
        if let Some(reason) = reason {
            course.failed.get_or_insert(Failed { phase, reason, message });
            doom.tell();
        }
        report::attach_known(&self.journal, &self.world, self.pace.backoff);
    }

    /// Ends the phases that have not answered long after their deadline. Their threads are left behind; nothing listens to them.
    fn give_up(&self, course: &mut Course, doom: &Doom) {
        let overdue = |running: &Running| running.since.elapsed() >= running.deadline + self.pace.grace;
        let late: Vec<(Phase, u64)> = course
            .running
            .iter()
            .filter(|(_, running)| overdue(running))
            .map(|(phase, running)| (*phase, running.deadline.as_secs()))
            .collect();
        for (phase, seconds) in late {
            let failure = Failure::new(Reason::HostFault, format!("no answer, gave up after {seconds} s"));
            self.end(course, phase, Ending::Failed(failure), doom);
        }
    }

    /// How long until some running phase is overdue.
    fn patience(&self, course: &Course) -> Duration {
        let left = course
            .running
            .values()
            .map(|running| (running.deadline + self.pace.grace).saturating_sub(running.since.elapsed()));
        left.min().unwrap_or(Duration::ZERO)
    }

    fn keep(&self, phase: Phase, outcome: Outcome, took: Duration) {
        let Some(keeper) = self.world.ledger.get() else { return };
        let ended = Ended { outcome, seconds: took.as_secs() };
        if let Err(error) = keeper.change(|ledger| ledger.end(phase, ended)) {
            // The next run only knows less of this one.
            self.journal.aside(&format!("the ledger does not have the end of {phase}: {error:#}"));
        }
    }

    fn deadline(&self, phase: Phase) -> Duration {
        let planned = self.world.plan.get().and_then(|planned| planned.plan.deadlines.get(&phase));
        Duration::from_secs(u64::from(planned.copied().unwrap_or(self.entry(phase).deadline)))
    }

    fn entry(&self, phase: Phase) -> &'static Entry {
        self.table.iter().find(|entry| entry.phase == phase).expect("the runner only names phases of its table")
    }
}

/// The next phase to start or pass over, in the order of the table. `part` is what the plan names, once it is known.
fn next(table: &[Entry], course: &Course, part: Option<&BTreeSet<Phase>>) -> Next {
    let begun = |phase: Phase| course.ended.contains_key(&phase) || course.running.contains_key(&phase);
    let good = |phase: &Phase| course.ended.get(phase).is_some_and(|outcome| outcome.is_good());
    let ready = |entry: &&Entry| entry.phase != Phase::Settle && !begun(entry.phase) && entry.needs.iter().all(good);
    if course.failed.is_none()
        && let Some(entry) = table.iter().find(ready)
    {
        let always = matches!(entry.phase, Phase::Wake | Phase::Plan);
        let absent = !always && part.is_some_and(|part| !part.contains(&entry.phase));
        return if absent { Next::PassOver(entry.phase) } else { Next::Start(entry.phase) };
    }
    if !course.running.is_empty() {
        Next::Wait
    } else if course.ended.contains_key(&Phase::Settle) {
        Next::End
    } else {
        Next::Start(Phase::Settle)
    }
}

impl Course {
    /// Why the node is not up, when it is not.
    fn verdict(&self, table: &[Entry]) -> Option<Failed> {
        let unmet = table
            .iter()
            .map(|entry| entry.phase)
            .find(|phase| *phase != Phase::Settle && !self.ended.contains_key(phase));
        let never = |phase| Failed { phase, reason: Reason::Internal, message: "it was never started".to_owned() };
        self.failed.clone().or_else(|| unmet.map(never))
    }
}

/// Makes a panic one line for the console that names its phase. With `panic = "abort"` it is the last thing that happens.
pub(crate) fn name_panics(node: bool) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("without words");
        let line = report::console::panicked(thread.name().unwrap_or("main"), &place, text);
        crate::sys::console::Console::of(node).line(&line);
    }));
}

#[cfg(test)]
mod tests;
