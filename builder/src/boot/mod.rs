//! A test boot: QEMU against a simulated platform, watched to a clear end.
//! May not know how user-data is made: it is given, and booted byte for byte.

pub mod board;
pub mod disk;
pub mod lan;
pub mod mirror;
pub mod neighbour;
pub mod platform;
pub mod qemu;
pub mod recipe;
pub mod report;
pub mod seed;
pub mod serial;
pub mod show;
pub mod verdict;
mod visit;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use anymetal_contract::Phase;

pub use lan::PublicPort;
pub use platform::Ran;
pub use qemu::Delivery;
pub use verdict::{Ended, Verdict};
pub use visit::Visit;

use crate::sys::machine;
use crate::sys::parts;
use disk::Image;
use ipnet::IpNet;
use neighbour::Neighbour;
use platform::{Config, Fault, Platform, device};
use qemu::Accelerator;
use serde_json::{Value, json};
use show::Show;
use watch::{Bench, Heard, Watch};

/// How long a machine has to switch off when its disk is kept.
const SWITCH_OFF: Duration = Duration::from_secs(90);
/// The memory of a machine unless somebody says otherwise, in MiB: enough for a node without jobs.
const MEMORY_MIB: u32 = 2048;

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
    /// The customer's own part of the platform's metadata, a JSON object.
    pub customdata: Value,
    /// Files on a volume of the machine: beside the user-data when that comes on one too, else on a medium of their own.
    pub medium: Vec<seed::File>,
    /// How long the node has to be up, from the first power on.
    pub deadline: Duration,
    /// The BGP sessions of the machine. On the link, the harness is the neighbour.
    pub sessions: device::Sessions,
    /// What the neighbour has to have been told, and nothing else, for the node to be up; nobody looks when there is none.
    pub announces: Option<BTreeSet<IpNet>>,
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
    /// How much memory the machine has, in MiB.
    pub memory_mib: u32,
    /// What its public port is connected to.
    pub public: PublicPort,
}

impl Boot {
    /// A machine as the platform's own, that starts from this user-data with nothing else in its way: no blobs, no faults, ten minutes.
    pub fn new(user_data: Vec<u8>, os: impl Into<String>, serial_log: PathBuf) -> Self {
        Self {
            user_data,
            os: os.into(),
            origins: Vec::new(),
            delivery: Delivery::Ec2,
            customdata: json!({}),
            medium: Vec::new(),
            deadline: Duration::from_mins(10),
            sessions: device::Sessions::OnLink { ipv6: true },
            announces: None,
            bgp_after: Duration::ZERO,
            faults: Vec::new(),
            cuts: Vec::new(),
            disk: None,
            serial_log,
            mirror: None,
            memory_mib: MEMORY_MIB,
            public: PublicPort::Closed,
        }
    }
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

/// Ways to say that somebody wants the boot to end. Called once, with what is to be called then.
pub type Interrupts<'a> = &'a dyn Fn(Box<dyn Fn() + Send>) -> anyhow::Result<()>;

/// Boots, watches, and puts everything away. An error is a boot that could not be tried; a boot that failed is an [`Ended`].
pub fn run(boot: &Boot, show: &mut Show, interrupts: Interrupts<'_>) -> anyhow::Result<Ended> {
    Ok(whole(boot, show, interrupts, None::<fn(&Visit<'_>)>)?.0)
}

/// The same with a visitor, in a thread of its own from power on: it may have scripts run inside the machine, and the machine stays on
/// until it has left, however the boot ends. It has to have a limit to everything it does.
pub fn visited<T: Send>(
    boot: &Boot,
    show: &mut Show,
    interrupts: Interrupts<'_>,
    visitor: impl FnOnce(&Visit<'_>) -> T + Send,
) -> anyhow::Result<(Ended, T)> {
    let (ended, told) = whole(boot, show, interrupts, Some(visitor))?;
    Ok((ended, told.expect("a visitor that is let in comes out")))
}

fn whole<T: Send>(
    boot: &Boot,
    show: &mut Show,
    interrupts: Interrupts<'_>,
    visitor: Option<impl FnOnce(&Visit<'_>) -> T + Send>,
) -> anyhow::Result<(Ended, Option<T>)> {
    machine::require()?;
    let recipe = recipe::named(&boot.os)?;
    let image = disk::ensure(&recipe, boot.mirror.as_deref(), |text| show.say(text))?;
    let (sender, heard) = mpsc::channel();
    interrupts(Box::new({
        let sender = sender.clone();
        move || drop(sender.send(Heard::Interrupted))
    }))?;
    let platform = platform(boot, sender.clone(), visitor.is_some())?;
    let neighbour = Neighbour::start(Box::new({
        let sender = sender.clone();
        move |news| drop(sender.send(Heard::Neighbour(news)))
    }))?;
    let scratch = parts::scratch()?;
    let bench = bench(boot, image, &platform, scratch.path(), visitor.is_some())?;
    let (cpuinfo, delivery) = (bench.accelerator.word(), boot.delivery);
    show.say(&format!(
        "booting {} under {cpuinfo}, user-data by {delivery:?}; console: {}",
        boot.os,
        bench.serial_log.display()
    ));
    let mut watch = Watch::new(boot, show, (sender, heard), &bench, &platform, &neighbour);
    let visit = Visit::new(&platform, &neighbour, boot.deadline);
    let (verdict, told) = std::thread::scope(|scope| {
        let visitor = visitor.map(|visitor| scope.spawn(|| visitor(&visit)));
        let verdict = watch.until_the_end();
        visit.tell(verdict.as_ref().ok());
        let told = visitor.map(|visitor| {
            watch.stay_on(|| visitor.is_finished());
            visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        (verdict, told)
    });
    let verdict = verdict?;
    let machine = watch.machine.take();
    let mut ended = watch.ended(verdict);
    if let (Some(machine), true) = (machine, boot.disk.is_some() && ended.is_up())
        && !machine.switch_off(&bench.control, SWITCH_OFF)?
    {
        show.say("the machine did not switch off in time; the power was taken away");
    }
    ended.log = platform.log();
    Ok((ended, told))
}

fn platform(boot: &Boot, sender: Sender<Heard>, lab: bool) -> anyhow::Result<Platform> {
    let config = Config {
        host: lan::PRIVATE_GATEWAY.into(),
        user_data: Some(boot.user_data.clone()),
        customdata: boot.customdata.clone(),
        origins: boot.origins.clone(),
        sessions: boot.sessions,
        bgp_after: boot.bgp_after,
        faults: boot.faults.clone(),
        lab,
    };
    Platform::start(config, Box::new(move |event| drop(sender.send(Heard::Event(Box::new(event))))))
}

fn bench(
    boot: &Boot,
    image: Image,
    platform: &Platform,
    scratch: &std::path::Path,
    lab: bool,
) -> anyhow::Result<Bench> {
    let disk = boot.disk.clone().unwrap_or_else(|| scratch.join("disk.qcow2"));
    machine::overlay(&image.disk, &disk)?;
    machine::empty(&boot.serial_log)?;
    let volume = match boot.delivery {
        Delivery::NoCloud => Some(seed::nocloud(device::ID, lan::HOSTNAME, &boot.user_data, &boot.medium)?),
        Delivery::Ec2 if boot.medium.is_empty() => None,
        Delivery::Ec2 => Some(seed::medium(&boot.medium)?),
    };
    let path = scratch.join("volume.vfat");
    if let Some(volume) = &volume {
        parts::write(&path, volume)?;
    }
    let (cpuinfo, opens) = machine::processor();
    Ok(Bench {
        image,
        accelerator: Accelerator::choose(&cpuinfo, opens),
        disk,
        volume: volume.map(|_| path),
        control: scratch.join("control"),
        command_line: qemu::command_line(&platform.url(), boot.delivery, lab)?,
        serial_log: boot.serial_log.clone(),
    })
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
