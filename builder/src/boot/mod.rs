//! A test boot: QEMU against a simulated platform, watched to a clear end.
//! May not know how user-data is made: it is given, and booted byte for byte.

pub mod board;
pub mod disk;
pub mod lan;
pub mod mirror;
pub mod platform;
pub mod qemu;
pub mod recipe;
pub mod report;
pub mod seed;
pub mod serial;
pub mod show;
pub mod verdict;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use anymetal_contract::{Event, Outcome, Phase};

pub use qemu::Delivery;
pub use verdict::{Ended, Verdict};

use crate::sys::clock::Stopwatch;
use crate::sys::machine::{self, Machine, Said};
use crate::sys::parts;
use board::{Board, Word};
use disk::Image;
use platform::{Config, Fault, Platform, device};
use qemu::{Accelerator, Parts};
use serial::{Console, Milestone};
use show::Show;

/// How long a machine has to switch off when its disk is kept.
const SWITCH_OFF: Duration = Duration::from_secs(90);
/// How long the console is listened to after a failure: what explains it may come a moment later.
const AFTERMATH: Duration = Duration::from_secs(2);

/// What is to be booted, and how.
#[derive(Debug, Clone)]
pub struct Boot {
    /// The user-data.
    pub user_data: Vec<u8>,
    /// The operating system of the machine: the name of a recipe.
    pub os: String,
    /// Folders with blobs at `sha256/<hex>`, for the origin beside the platform.
    pub origins: Vec<PathBuf>,
    /// How user-data reaches the machine.
    pub delivery: Delivery,
    /// How long the node has to be up, from the first power on.
    pub deadline: Duration,
    /// How long after metadata was first asked for the BGP sessions are there.
    pub bgp_after: Duration,
    /// What goes wrong on the platform.
    pub faults: Vec<Fault>,
    /// When the power is cut, in this order; each time the machine is switched on again.
    pub cuts: Vec<Cut>,
    /// Where the machine's disk is, or is to be made and kept.
    pub disk: Option<PathBuf>,
    /// Where the serial console goes.
    pub serial_log: PathBuf,
    /// The package mirror the test machine's disk is made from, instead of the configured one.
    pub mirror: Option<String>,
}

/// When the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// When this phase is under way,
    pub phase: Phase,
    /// so long after its first sign.
    pub after: Duration,
}

impl FromStr for Cut {
    type Err = String;

    /// `acquire`, or `acquire+3` for three seconds later.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, after) = text.split_once('+').unwrap_or((text, "0"));
        let known = || Phase::ALL.map(Phase::id).join(", ");
        let phase = Phase::named(name).ok_or_else(|| format!("{name:?} is not a phase; there are {}", known()))?;
        let after = after.parse().map_err(|_| format!("{after:?} is not a number of seconds"))?;
        Ok(Self { phase, after: Duration::from_secs(after) })
    }
}

/// What a boot hears.
enum Heard {
    Event(Box<Event>),
    /// From the machine of this power on.
    Machine(u32, Said),
    Interrupted,
}

/// What is fixed for one boot.
struct Bench {
    image: Image,
    accelerator: Accelerator,
    disk: PathBuf,
    seed: Option<PathBuf>,
    control: PathBuf,
    command_line: String,
    serial_log: PathBuf,
}

/// Ways to say that somebody wants the boot to end. Called once, with what is to be called then.
pub type Interrupts<'a> = &'a dyn Fn(Box<dyn Fn() + Send>) -> anyhow::Result<()>;

/// Boots, watches, and puts everything away. An error is a boot that could not be tried; a boot that failed is an [`Ended`].
pub fn run(boot: &Boot, show: &mut Show, interrupts: Interrupts<'_>) -> anyhow::Result<Ended> {
    machine::require()?;
    let recipe = recipe::named(&boot.os)?;
    let image = disk::ensure(&recipe, boot.mirror.as_deref(), |text| show.say(text))?;
    let (sender, heard) = mpsc::channel();
    interrupts(Box::new({
        let sender = sender.clone();
        move || drop(sender.send(Heard::Interrupted))
    }))?;
    let platform = Platform::start(
        Config {
            host: lan::PRIVATE_GATEWAY.into(),
            user_data: Some(boot.user_data.clone()),
            origins: boot.origins.clone(),
            bgp_after: boot.bgp_after,
            faults: boot.faults.clone(),
        },
        Box::new({
            let sender = sender.clone();
            move |event| drop(sender.send(Heard::Event(Box::new(event))))
        }),
    )?;
    let scratch = parts::scratch()?;
    let bench = bench(boot, image, &platform, scratch.path())?;
    let (cpuinfo, delivery) = (bench.accelerator.word(), boot.delivery);
    show.say(&format!(
        "booting {} under {cpuinfo}, user-data by {delivery:?}; console: {}",
        boot.os,
        bench.serial_log.display()
    ));
    let mut watch = Watch::new(boot, show, sender, heard, &bench);
    let verdict = watch.until_the_end()?;
    let machine = watch.machine.take();
    let mut ended = watch.ended(verdict);
    if let (Some(machine), true) = (machine, boot.disk.is_some() && ended.is_up())
        && !machine.switch_off(&bench.control, SWITCH_OFF)?
    {
        show.say("the machine did not switch off in time; the power was taken away");
    }
    ended.log = platform.log();
    Ok(ended)
}

fn bench(boot: &Boot, image: Image, platform: &Platform, scratch: &std::path::Path) -> anyhow::Result<Bench> {
    let disk = boot.disk.clone().unwrap_or_else(|| scratch.join("disk.qcow2"));
    machine::overlay(&image.disk, &disk)?;
    machine::empty(&boot.serial_log)?;
    let seed = (boot.delivery == Delivery::NoCloud).then(|| scratch.join("seed.vfat"));
    if let Some(seed) = &seed {
        parts::write(seed, &seed::volume(device::ID, lan::HOSTNAME, &boot.user_data)?)?;
    }
    let (cpuinfo, opens) = machine::processor();
    Ok(Bench {
        image,
        accelerator: Accelerator::choose(&cpuinfo, opens),
        disk,
        seed,
        control: scratch.join("control"),
        command_line: qemu::command_line(&platform.url(), boot.delivery)?,
        serial_log: boot.serial_log.clone(),
    })
}

/// One boot under way.
struct Watch<'a> {
    boot: &'a Boot,
    bench: &'a Bench,
    show: &'a mut Show,
    sender: Sender<Heard>,
    heard: Receiver<Heard>,
    clock: Stopwatch,
    machine: Option<Machine>,
    power_ons: u32,
    /// Since when the machine runs this time.
    powered: Duration,
    cuts: VecDeque<Cut>,
    /// When the next cut is due, on the clock.
    due: Option<Duration>,
    board: Board,
    console: Console,
    milestones: BTreeMap<Milestone, Duration>,
}

impl<'a> Watch<'a> {
    fn new(
        boot: &'a Boot,
        show: &'a mut Show,
        sender: Sender<Heard>,
        heard: Receiver<Heard>,
        bench: &'a Bench,
    ) -> Self {
        Self {
            boot,
            bench,
            show,
            sender,
            heard,
            clock: Stopwatch::start(),
            machine: None,
            power_ons: 0,
            powered: Duration::ZERO,
            cuts: boot.cuts.iter().copied().collect(),
            due: None,
            board: Board::default(),
            console: Console::default(),
            milestones: BTreeMap::new(),
        }
    }

    fn until_the_end(&mut self) -> anyhow::Result<Verdict> {
        self.power_on()?;
        loop {
            let until = self.due.unwrap_or(self.boot.deadline).min(self.boot.deadline);
            let verdict = match self.heard.recv_timeout(until.saturating_sub(self.clock.elapsed())) {
                Ok(heard) => self.take(heard),
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
        let parts =
            Parts { image: &bench.image, disk: &bench.disk, seed: bench.seed.as_deref(), control: &bench.control };
        let arguments = qemu::arguments(parts, bench.accelerator, &bench.command_line);
        let (sender, number) = (self.sender.clone(), self.power_ons);
        let hear = move |said| drop(sender.send(Heard::Machine(number, said)));
        self.machine = Some(Machine::start(&arguments, &bench.serial_log, hear)?);
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
        }
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
        let word = self.board.take(event, at.saturating_sub(self.powered));
        let phase = event.phase()?;
        self.show.phase(at, phase, &self.board.standing(phase));
        let under_way = matches!(event.outcome, Outcome::Started | Outcome::Progress | Outcome::Waiting);
        if let Some(cut) = self.cuts.front().filter(|cut| cut.phase == phase && under_way) {
            self.due.get_or_insert(at + cut.after);
        }
        word.map(|word| match word {
            Word::Up if !self.cuts.is_empty() => {
                let missed = self.cuts.iter().map(|cut| cut.phase.id()).collect::<Vec<_>>().join(", ");
                Verdict::Ended(format!("the node was up before the power could be cut in {missed}"))
            }
            Word::Up => Verdict::Up,
            Word::Failed(phase) => Verdict::failed(&self.board, phase),
        })
    }

    fn cut(&mut self) -> anyhow::Result<()> {
        self.due = None;
        let cut = self.cuts.pop_front();
        if let Some(machine) = self.machine.take() {
            machine.cut()?;
        }
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

    fn ended(self, verdict: Verdict) -> Ended {
        self.show.finish();
        Ended {
            verdict,
            board: self.board,
            milestones: self.milestones,
            log: platform::Log::default(),
            console: self.console,
            power_ons: self.power_ons,
            took: self.clock.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_a_phase_and_perhaps_a_while() {
        let cut = |phase, after| Ok(Cut { phase, after: Duration::from_secs(after) });
        assert_eq!("acquire".parse(), cut(Phase::Acquire, 0));
        assert_eq!("services+3".parse(), cut(Phase::Services, 3));
        for bad in ["", "lunch", "acquire+", "acquire+soon", "acquire+-1"] {
            assert!(bad.parse::<Cut>().is_err(), "{bad:?} was taken");
        }
    }
}
