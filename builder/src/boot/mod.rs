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

use std::collections::BTreeMap;
use std::path::PathBuf;
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
    /// The power is cut when this phase is under way, once each, in this order; then the machine is switched on again.
    pub cuts: Vec<Phase>,
    /// Where the machine's disk is, or is to be made and kept.
    pub disk: Option<PathBuf>,
    /// Where the serial console goes.
    pub serial_log: PathBuf,
    /// The package mirror the test machine's disk is made from, instead of the configured one.
    pub mirror: Option<String>,
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
    cuts: std::collections::VecDeque<Phase>,
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
            board: Board::default(),
            console: Console::default(),
            milestones: BTreeMap::new(),
        }
    }

    fn until_the_end(&mut self) -> anyhow::Result<Verdict> {
        self.power_on()?;
        loop {
            let left = self.boot.deadline.saturating_sub(self.clock.elapsed());
            let verdict = match self.heard.recv_timeout(left) {
                Ok(heard) => self.take(heard)?,
                Err(RecvTimeoutError::Timeout) => Some(Verdict::deadline(&self.board, self.boot.deadline)),
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

    fn take(&mut self, heard: Heard) -> anyhow::Result<Option<Verdict>> {
        match heard {
            Heard::Interrupted => Ok(Some(Verdict::Interrupted)),
            Heard::Machine(number, _) if number != self.power_ons => Ok(None), // a machine whose power was cut
            Heard::Machine(_, Said::Ended(words)) => Ok(Some(Verdict::Ended(words))),
            Heard::Machine(_, Said::Line(line)) => Ok(self.line(&line)),
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

    fn event(&mut self, event: &Event) -> anyhow::Result<Option<Verdict>> {
        let at = self.clock.elapsed();
        let word = self.board.take(event, at.saturating_sub(self.powered));
        let Some(phase) = event.phase() else { return Ok(None) };
        self.show.phase(at, phase, &self.board.standing(phase));
        let under_way = matches!(event.outcome, Outcome::Started | Outcome::Progress | Outcome::Waiting);
        if self.cuts.front() == Some(&phase) && under_way {
            self.cut(phase)?;
            return Ok(None);
        }
        Ok(word.map(|word| match word {
            Word::Up if !self.cuts.is_empty() => {
                let missed = self.cuts.iter().map(|phase| phase.id()).collect::<Vec<_>>().join(", ");
                Verdict::Ended(format!("the node was up before the power could be cut in {missed}"))
            }
            Word::Up => Verdict::Up,
            Word::Failed(phase) => Verdict::failed(&self.board, phase),
        }))
    }

    fn cut(&mut self, phase: Phase) -> anyhow::Result<()> {
        self.cuts.pop_front();
        if let Some(machine) = self.machine.take() {
            machine.cut()?;
        }
        self.show.clear();
        self.show.say_at(self.clock.elapsed(), &format!("power cut during {phase}"));
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
