//! One boot under way: what is heard of it, when its power is cut, and how it ends.
//! May not make what the machine is made of: it is given.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use anymetal_contract::{Event, Outcome};

use super::board::{Board, Word};
use super::disk::Image;
use super::lan::PublicPort;
use super::neighbour::{Neighbour, News, judge};
use super::platform::{self, Platform};
use super::qemu::{self, Accelerator, Parts};
use super::serial::{Console, Milestone};
use super::show::Show;
use super::verdict::Neighbourhood;
use super::{Boot, Cut, Ended, Verdict};
use crate::sys::clock::Stopwatch;
use crate::sys::machine::{Machine, Said};

/// How long the console is listened to after a failure: what explains it may come a moment later.
const AFTERMATH: Duration = Duration::from_secs(2);
/// How often a machine that stays on for a visitor is asked whether that has left.
const LOOK: Duration = Duration::from_millis(200);
/// How long the neighbour may need to learn what the node says it was told: the two ways lead through QEMU side by side.
const AGREE: Duration = Duration::from_secs(10);

/// What a boot hears.
pub(super) enum Heard {
    Event(Box<Event>),
    /// From the machine of this power on.
    Machine(u32, Said),
    Neighbour(News),
    Interrupted,
}

/// What is fixed for one boot.
pub(super) struct Bench {
    pub(super) image: Image,
    pub(super) accelerator: Accelerator,
    pub(super) disk: PathBuf,
    pub(super) volume: Option<PathBuf>,
    pub(super) control: PathBuf,
    pub(super) command_line: String,
    pub(super) serial_log: PathBuf,
}

/// One boot under way.
pub(super) struct Watch<'a> {
    boot: &'a Boot,
    bench: &'a Bench,
    platform: &'a Platform,
    neighbour: &'a Neighbour,
    show: &'a mut Show,
    sender: Sender<Heard>,
    heard: Receiver<Heard>,
    clock: Stopwatch,
    pub(super) machine: Option<Machine>,
    power_ons: u32,
    /// Since when the machine runs this time.
    powered: Duration,
    cuts: VecDeque<Cut>,
    /// When the next cut is due, on the clock.
    due: Option<Duration>,
    /// The node says that it is up; when the neighbour has to agree at last.
    agree: Option<Duration>,
    board: Board,
    console: Console,
    milestones: BTreeMap<Milestone, Duration>,
    /// When the session with the neighbour came to be, since power on.
    established: Option<Duration>,
    /// From the first power on to the verdict.
    took: Duration,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        boot: &'a Boot,
        show: &'a mut Show,
        (sender, heard): (Sender<Heard>, Receiver<Heard>),
        bench: &'a Bench,
        platform: &'a Platform,
        neighbour: &'a Neighbour,
    ) -> Self {
        Self {
            boot,
            bench,
            platform,
            neighbour,
            show,
            sender,
            heard,
            clock: Stopwatch::start(),
            machine: None,
            power_ons: 0,
            powered: Duration::ZERO,
            cuts: boot.cuts.iter().copied().collect(),
            due: None,
            agree: None,
            board: Board::default(),
            console: Console::default(),
            milestones: BTreeMap::new(),
            established: None,
            took: Duration::ZERO,
        }
    }

    /// Boots, and watches until it is clear how that ended.
    pub(super) fn until_the_end(&mut self) -> anyhow::Result<Verdict> {
        self.power_on()?;
        loop {
            let until = self.agree.or(self.due).map_or(self.boot.deadline, |other| other.min(self.boot.deadline));
            let verdict = match self.heard.recv_timeout(until.saturating_sub(self.clock.elapsed())) {
                Ok(heard) => self.take(heard),
                Err(RecvTimeoutError::Timeout) if self.agree.is_some() => {
                    Some(self.up().unwrap_or_else(Verdict::Neighbour))
                }
                Err(RecvTimeoutError::Timeout) if until == self.boot.deadline => {
                    Some(Verdict::deadline(&self.board, self.boot.deadline))
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.cut()?;
                    None
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("this room holds a sender itself"),
            };
            if let Some(verdict) = verdict {
                self.took = self.clock.elapsed();
                if !matches!(verdict, Verdict::Up | Verdict::Interrupted) {
                    self.aftermath();
                }
                return Ok(verdict);
            }
        }
    }

    fn power_on(&mut self) -> anyhow::Result<()> {
        self.power_ons += 1;
        self.powered = self.clock.elapsed();
        let bench = self.bench;
        let parts = Parts {
            image: &bench.image,
            disk: &bench.disk,
            volume: bench.volume.as_deref(),
            memory_mib: self.boot.memory_mib,
            public: &self.boot.public,
            neighbour: self.neighbour.port(),
            control: &bench.control,
        };
        let tap = match &self.boot.public {
            PublicPort::Closed => None,
            PublicPort::Tap(device) => Some(&**device),
        };
        let arguments = qemu::arguments(parts, bench.accelerator, &bench.command_line);
        let (sender, number) = (self.sender.clone(), self.power_ons);
        let hear = move |said| drop(sender.send(Heard::Machine(number, said)));
        self.machine = Some(Machine::start(&arguments, tap, &bench.serial_log, hear)?);
        self.show.say_at(self.powered, "power on");
        Ok(())
    }

    fn take(&mut self, heard: Heard) -> Option<Verdict> {
        match heard {
            Heard::Interrupted => Some(Verdict::Interrupted),
            Heard::Machine(number, _) if number != self.power_ons => None, // a machine whose power was cut
            Heard::Machine(_, Said::Ended(words)) => Some(Verdict::Ended(words)),
            Heard::Machine(_, Said::Line(line)) => self.line(&line),
            Heard::Event(event) => self.event(&event),
            Heard::Neighbour(news) => self.news(&news),
        }
    }

    /// A foreign prefix is a failure at once; a node that is up is only up once the neighbour agrees.
    fn news(&mut self, news: &News) -> Option<Verdict> {
        let at = self.clock.elapsed();
        self.show.say_at(at, &news.to_string());
        if *news == News::Established {
            self.established.get_or_insert(at.saturating_sub(self.powered));
        }
        let wanted = self.boot.announces.as_ref()?;
        if let Some(sentence) = judge::foreign(wanted, &self.neighbour.known()) {
            return Some(Verdict::Neighbour(sentence));
        }
        self.agree.and_then(|_| self.up().ok())
    }

    /// The verdict when the neighbour has what it has to have, or what it lacks.
    fn up(&self) -> Result<Verdict, String> {
        let known = self.neighbour.known();
        let lacks = self.boot.announces.as_ref().and_then(|wanted| judge::missing(wanted, &known));
        lacks.map_or(Ok(Verdict::Up), Err)
    }

    fn line(&mut self, line: &[u8]) -> Option<Verdict> {
        let milestone = self.console.line(line)?;
        let at = self.clock.elapsed();
        if let std::collections::btree_map::Entry::Vacant(place) = self.milestones.entry(milestone) {
            place.insert(at.saturating_sub(self.powered));
            self.show.say_at(at, milestone.word());
        }
        (milestone == Milestone::Panic).then_some(Verdict::Panic)
    }

    fn event(&mut self, event: &Event) -> Option<Verdict> {
        let at = self.clock.elapsed();
        if let Some(by) = &event.by {
            // It goes on beside the boot, and after it.
            self.show.say_at(at, &format!("{by}: {}", event.message));
            return None;
        }
        let word = self.board.take(event, at.saturating_sub(self.powered));
        let phase = event.phase()?;
        self.show.phase(at, phase, &self.board.standing(phase));
        let under_way = matches!(event.outcome, Outcome::Started | Outcome::Progress | Outcome::Waiting);
        if let Some(cut) = self.cuts.front().filter(|cut| cut.phase == phase && under_way) {
            self.due.get_or_insert(at + cut.after);
        }
        word.and_then(|word| match word {
            Word::Up if !self.cuts.is_empty() => {
                let missed = self.cuts.iter().map(|cut| cut.phase.id()).collect::<Vec<_>>().join(", ");
                Some(Verdict::Ended(format!("the node was up before the power could be cut in {missed}")))
            }
            Word::Up => {
                let verdict = self.up().ok();
                if verdict.is_none() {
                    self.agree.get_or_insert(at + AGREE);
                }
                verdict
            }
            Word::Failed(phase) => Some(Verdict::failed(&self.board, phase)),
        })
    }

    fn cut(&mut self) -> anyhow::Result<()> {
        self.due = None;
        let cut = self.cuts.pop_front();
        if let Some(machine) = self.machine.take() {
            machine.cut()?;
        }
        self.platform.power_cut();
        // What the machine said before has no bearing on what it does next.
        let before: Vec<Heard> = self.heard.try_iter().collect();
        if before.iter().any(|heard| matches!(heard, Heard::Interrupted)) {
            self.sender.send(Heard::Interrupted).expect("this room holds the receiver itself");
        }
        self.show.clear();
        let during = cut.map_or("", |cut| cut.phase.id());
        self.show.say_at(self.clock.elapsed(), &format!("power cut during {during}"));
        self.board.power_cut();
        self.milestones.clear();
        self.established = None;
        self.power_on()
    }

    /// Listens on for a moment.
    fn aftermath(&mut self) {
        let clock = Stopwatch::start();
        while let Ok(heard) = self.heard.recv_timeout(AFTERMATH.saturating_sub(clock.elapsed())) {
            if let Heard::Machine(_, Said::Line(line)) = heard {
                self.console.line(&line);
            }
        }
    }

    /// Leaves the machine on until `over`, whatever becomes of it; only says on whose behalf nothing can be run any more.
    pub(super) fn stay_on(&mut self, over: impl Fn() -> bool) {
        while !over() {
            match self.heard.recv_timeout(LOOK) {
                Ok(Heard::Machine(_, Said::Line(line))) => _ = self.console.line(&line),
                Ok(Heard::Machine(number, Said::Ended(_))) if number == self.power_ons => self.platform.leave(),
                Ok(Heard::Interrupted) => self.platform.leave(),
                Ok(Heard::Event(_) | Heard::Neighbour(_) | Heard::Machine(..)) | Err(_) => {}
            }
        }
    }

    pub(super) fn ended(self, verdict: Verdict) -> Ended {
        self.show.finish();
        Ended {
            verdict,
            board: self.board,
            milestones: self.milestones,
            log: platform::Log::default(),
            neighbour: Neighbourhood {
                wanted: self.boot.announces.clone(),
                established: self.established,
                known: self.neighbour.known(),
            },
            console: self.console,
            power_ons: self.power_ons,
            took: self.took,
        }
    }
}
