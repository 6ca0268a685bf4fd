//! What happened, told: kept on disk first, then shown on the console and in `status.json`, then sent to the sinks.
//! May not fail: whatever cannot be told somewhere is told elsewhere, and the boot goes on.

pub(crate) mod console;
mod outbox;
mod platform;
mod sink;
pub(crate) mod words;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anymetal_contract::event::{KIND, VERSION};
use anymetal_contract::{Event, Outcome, Phase, Reason, Unit, place};

use crate::plan::count;
use crate::release::Released;
use crate::retry::Backoff;
use crate::secret::Hidden;
use crate::status::Status;
use crate::sys::console::Console;
use crate::sys::{clock, fs};
use crate::world::World;
use anymetal_supply::http::Outside;
use outbox::Outbox;
use sink::Sink;
pub(crate) use sink::{To, known};

/// Progress of one step is shown on the console at most so often; programs get all of it.
const SHOWN_EVERY: Duration = Duration::from_secs(10);
/// So many events are in memory for reports; one that is further behind reads the file. A boot of a full site has some hundred.
const REMEMBERED: usize = 4096;
const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// Something to tell.
#[derive(Debug, Clone)]
pub(crate) struct Said<'a> {
    pub(crate) phase: Phase,
    pub(crate) step: Option<&'a str>,
    pub(crate) outcome: Outcome,
    pub(crate) reason: Option<Reason>,
    pub(crate) message: &'a str,
    pub(crate) amount: Option<Amount>,
    /// How long the phase took, when this ends it.
    pub(crate) took: Option<Duration>,
}

/// How much of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Amount {
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    pub(crate) unit: Unit,
}

impl<'a> Said<'a> {
    pub(crate) fn new(phase: Phase, outcome: Outcome, message: &'a str) -> Self {
        Self { phase, step: None, outcome, reason: None, message, amount: None, took: None }
    }
}

/// The one place everything is told through, by any thread.
pub(crate) struct Journal {
    events: PathBuf,
    /// Where the document of how the boot goes is kept; only the boot has one.
    status: Option<PathBuf>,
    cursors: PathBuf,
    desk: Mutex<Desk>,
    /// Something was said, a report got further, or the journal was closed.
    news: Condvar,
    /// The last line of defence: whoever says something has hidden what it knew to be secret; this hides what slipped through.
    hidden: Arc<Hidden>,
}

struct Desk {
    outbox: Outbox,
    /// What events say of who tells them.
    by: Option<String>,
    console: Console,
    status: Status,
    /// What this run has said last, from number `first` on.
    said: VecDeque<Event>,
    first: u64,
    /// How many of them are kept.
    remembered: usize,
    /// How far each sink is, by its name.
    sinks: BTreeMap<String, Progress>,
    /// When progress was last shown on the console, by phase and step.
    shown: BTreeMap<(Phase, Option<String>), Instant>,
    complaints: Complaints,
    closed: bool,
}

#[derive(Default)]
struct Complaints {
    events: bool,
    status: bool,
}

struct Progress {
    label: String,
    cursor: u64,
}

impl Journal {
    /// Opens the journal of a first boot.
    pub(crate) fn open(world: &World, console: Console) -> Arc<Self> {
        let status = Some(world.at(place::STATUS));
        Self::begin(world, console, None, status, world.at(place::EVENTS), world.at(place::CURSORS))
    }

    /// Opens the guard's own journal: it may tell something while a boot does.
    pub(crate) fn of_guard(world: &World, console: Console) -> Arc<Self> {
        let by = Some("guard".to_owned());
        Self::begin(world, console, by, None, world.at(place::GUARD_EVENTS), world.at(place::GUARD_CURSORS))
    }

    fn begin(
        world: &World,
        console: Console,
        by: Option<String>,
        status: Option<PathBuf>,
        events: PathBuf,
        cursors: PathBuf,
    ) -> Arc<Self> {
        let sent = fs::names(&cursors).iter().filter_map(|name| sink::read_cursor(&cursors.join(name))).max();
        let (outbox, error) = Outbox::open(&events, sent.unwrap_or(0));
        let node = fs::read_text(&world.at(HOSTNAME)).unwrap_or_default().trim().to_owned();
        let first = outbox.next();
        let desk = Desk {
            outbox,
            by,
            console,
            status: Status::new(&node),
            said: VecDeque::new(),
            first,
            remembered: REMEMBERED,
            sinks: BTreeMap::new(),
            shown: BTreeMap::new(),
            complaints: Complaints::default(),
            closed: false,
        };
        let journal = Arc::new(Self {
            events,
            status,
            cursors,
            desk: Mutex::new(desk),
            news: Condvar::new(),
            hidden: Arc::clone(&world.hidden),
        });
        if let Some(error) = error {
            journal.desk().complain_of_events(&error);
        }
        journal
    }

    /// What every event says of site and plan from now on.
    pub(crate) fn identify(&self, site: &str, plan: &str) {
        let mut desk = self.desk();
        site.clone_into(&mut desk.status.site);
        plan.clone_into(&mut desk.status.plan);
    }

    /// What the status says of the release from now on.
    pub(crate) fn release(&self, released: Option<&Released>) {
        let Some(of) = released else { return };
        let mut desk = self.desk();
        of.digest.as_str().clone_into(&mut desk.status.release);
        desk.status.serial = Some(of.release.serial);
    }

    /// Tells something.
    pub(crate) fn say(&self, said: &Said<'_>) {
        let (message, step) = (self.hidden.hide(said.message), said.step.map(|step| self.hidden.hide(step)));
        let said = &Said { message: &message, step: step.as_deref(), ..said.clone() };
        let mut desk = self.desk();
        let event = desk.event(said);
        if let Err(error) = desk.outbox.keep(&event) {
            desk.complain_of_events(&error);
        }
        desk.show(&event, said);
        if let Some(path) = &self.status {
            desk.status.take(&event, said.took);
            let mut document = serde_json::to_string(&desk.status).expect("a status has only text for keys");
            document.push('\n');
            if let Err(error) = fs::replace_lightly(path, document.as_bytes(), 0o644) {
                desk.complain_of_status(&error);
            }
        }
        desk.said.push_back(event);
        if desk.said.len() > desk.remembered {
            desk.said.pop_front();
            desk.first += 1;
        }
        drop(desk);
        self.news.notify_all();
    }

    /// A line for the console alone: how the reports fare, or what the guard has done to BIRD.
    pub(crate) fn aside(&self, message: &str) {
        let message = words::one_line(&words::harmless(&self.hidden.hide(message)), 500);
        let mut desk = self.desk();
        let line = console::aside(desk.by.as_deref().unwrap_or("report"), &message);
        desk.console.line(&line);
    }

    /// Starts a sink, once: it gets what was said since it last accepted something, be it in an earlier run. It is reached by the way outside as that
    /// is known when it is started.
    pub(crate) fn attach(self: &Arc<Self>, to: &To, outside: Outside, backoff: Backoff) {
        let sink = Sink::from(to);
        let cursor = sink::read_cursor(&self.cursors.join(sink.name())).unwrap_or(0);
        {
            let mut desk = self.desk();
            if desk.closed || desk.sinks.contains_key(sink.name()) {
                return;
            }
            desk.sinks.insert(sink.name().to_owned(), Progress { label: sink.label().to_owned(), cursor });
        }
        let journal = Arc::clone(self);
        let name = format!("report {}", sink.label());
        let spawned = std::thread::Builder::new()
            .name("report".to_owned())
            .spawn(move || sink.deliver(&journal, cursor, &outside, backoff));
        if let Err(error) = spawned {
            self.aside(&format!("starting the thread of {name}: {error}"));
        }
    }

    /// Waits until every sink has accepted everything, at most so long, and then closes. Says what is kept for the next run.
    pub(crate) fn settle(&self, limit: Duration) {
        let desk = self.desk();
        let last = desk.outbox.next() - 1;
        let behind = |desk: &mut Desk| desk.sinks.values().any(|sink| sink.cursor < last);
        let (mut desk, _) = self.news.wait_timeout_while(desk, limit, behind).unwrap_or_else(PoisonError::into_inner);
        desk.closed = true;
        let late: Vec<String> = desk
            .sinks
            .values()
            .filter(|sink| sink.cursor < last)
            .map(|sink| {
                let events = count(usize::try_from(last - sink.cursor).unwrap_or(usize::MAX), "event");
                format!("{} has not taken the last {events}: kept, and sent by the next run", sink.label)
            })
            .collect();
        drop(desk);
        self.news.notify_all();
        for line in late {
            self.aside(&line);
        }
    }

    /// The number of the first event in memory.
    fn first(&self) -> u64 {
        self.desk().first
    }

    /// The first event in memory with a number above `cursor`; waits for it. `None` when the journal is closed.
    fn after(&self, cursor: u64) -> Option<Event> {
        let mut desk = self.desk();
        loop {
            if desk.closed {
                return None;
            }
            let place = (cursor + 1).saturating_sub(desk.first);
            if let Some(event) = usize::try_from(place).ok().and_then(|place| desk.said.get(place)) {
                return Some(event.clone());
            }
            desk = self.news.wait(desk).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A sink has dealt with everything up to this number.
    fn accepted(&self, sink: &str, seq: u64) {
        // Without its cursor a sink gets these events again after a reboot: once at least, as promised.
        let _not_kept = fs::replace_lightly(&self.cursors.join(sink), format!("{seq}\n").as_bytes(), 0o600);
        if let Some(progress) = self.desk().sinks.get_mut(sink) {
            progress.cursor = seq;
        }
        self.news.notify_all();
    }

    /// Waits so long. Says whether the journal is still open.
    fn rest(&self, pause: Duration) -> bool {
        let waited = self.news.wait_timeout_while(self.desk(), pause, |desk| !desk.closed);
        !waited.unwrap_or_else(PoisonError::into_inner).0.closed
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Desk {
    fn event(&self, said: &Said<'_>) -> Event {
        Event {
            kind: KIND.to_owned(),
            version: VERSION,
            seq: self.outbox.next(),
            by: self.by.clone(),
            time: humantime::format_rfc3339_millis(clock::wall()).to_string(),
            site: self.status.site.clone(),
            node: self.status.node.clone(),
            plan: self.status.plan.clone(),
            phase: said.phase.id().to_owned(),
            step: said.step.map(|step| words::one_line(&words::harmless(step), 100)),
            outcome: said.outcome,
            reason: said.reason.map(|reason| reason.code().to_owned()),
            message: words::harmless(said.message),
            done: said.amount.map(|amount| amount.done),
            total: said.amount.and_then(|amount| amount.total),
            unit: said.amount.map(|amount| amount.unit),
        }
    }

    fn show(&mut self, event: &Event, said: &Said<'_>) {
        if said.outcome == Outcome::Progress {
            let now = clock::monotonic();
            let step = (said.phase, event.step.clone());
            if self.shown.get(&step).is_some_and(|shown| now.duration_since(*shown) < SHOWN_EVERY) {
                return;
            }
            self.shown.insert(step, now);
        }
        for line in console::lines(event, said.took) {
            self.console.line(&line);
        }
    }

    fn complain_of_events(&mut self, error: &anyhow::Error) {
        if !std::mem::replace(&mut self.complaints.events, true) {
            let line = format!("events are not kept in {}: {error:#}; they are still shown and sent", place::EVENTS);
            self.console.line(&console::aside("report", &line));
        }
    }

    fn complain_of_status(&mut self, error: &anyhow::Error) {
        if !std::mem::replace(&mut self.complaints.status, true) {
            self.console.line(&console::aside("report", &format!("{} is not up to date: {error:#}", place::STATUS)));
        }
    }
}

/// Starts every sink that is known by now: the kernel command line's at once, the plan's with the plan, the platform's with the metadata.
pub(crate) fn attach_known(journal: &Arc<Journal>, world: &World, backoff: Backoff) {
    for to in known(world) {
        journal.attach(&to, world.outside(), backoff);
    }
}

#[cfg(test)]
pub(crate) mod tests;
