//! The phase `services`: each unit enabled, running with what is installed and written now, and ready; one after the other.
//! May not wait: it answers `Waiting` and is called again. What it has done so far lies in [`Doings`].

mod applied;
mod registration;
pub(crate) mod systemd;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use anyhow::Context as _;
use anymetal_contract::plan::{Access, Acl, Ready, Service};
use anymetal_contract::{Outcome, Reason};

use crate::access::{self, Ensured};
use crate::api::{self, Api};
use crate::cluster::{self, Missing, MissingKind};
use crate::ledger::Applied;
use crate::phase::{Answer, Steps};
use crate::plan::count;
use crate::sys::{clock, holder, sweep};
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};
use registration::Registration;
use unit::{Action, Standing, Unit};

/// Of how many waits in a row the first few, and then every so many, also tell the unit's last lines: at about 20 s, then every five minutes.
const FIRST_LINES: u32 = 50;
const LINES_EVERY: u32 = 800;

/// What this run has done with the units so far.
#[derive(Debug, Default)]
pub(crate) struct Doings {
    prepared: bool,
    /// By unit.
    done: BTreeMap<String, Doing>,
    ready: BTreeSet<String>,
    waits: u32,
}

#[derive(Debug)]
struct Doing {
    action: Action,
    /// The fewest automatic restarts seen, to count from.
    restarts: u32,
    /// The process that was there at the last look.
    seen: Option<u32>,
    /// Whether access to it has been put right in this run.
    governed: bool,
    /// Whether its data has been looked at for what a power cut left.
    mended: bool,
    /// How this node's registration with it goes (Nomad).
    registration: Registration,
}

/// Whether a service may be relied on.
enum Readiness {
    Ready(String),
    /// It may be later; if it never is, this is the reason.
    NotYet(Reason, String),
}

/// The phase's work: every service but the guard.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let services: Vec<&Service> =
        world.plan().services.iter().filter(|service| service.ready != Ready::Announced).collect();
    let mut doings = world.services.lock().unwrap_or_else(PoisonError::into_inner);
    match bring_up(world, &services, &mut doings, steps)? {
        Some(not_yet) => Ok(not_yet),
        None => Ok(answer(&services, &doings)),
    }
}

/// The guard's part of the phase `announce`: its unit runs. `Err` with an answer while it does not; otherwise whether this run has touched it.
pub(crate) fn guard(world: &World, steps: &dyn Steps) -> Result<Result<bool, Answer>, Failure> {
    let services: Vec<&Service> =
        world.plan().services.iter().filter(|service| service.ready == Ready::Announced).collect();
    let mut doings = world.services.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(not_yet) = bring_up(world, &services, &mut doings, steps)? {
        return Ok(Err(not_yet));
    }
    let touched =
        |service: &&Service| doings.done.get(&service.unit).is_some_and(|doing| doing.action != Action::Nothing);
    Ok(Ok(services.iter().any(touched)))
}

/// Brings these up, one after the other. What there is to wait for, or nothing when all are ready.
fn bring_up(
    world: &World,
    services: &[&Service],
    doings: &mut Doings,
    steps: &dyn Steps,
) -> Result<Option<Answer>, Failure> {
    if !doings.prepared {
        prepare(world).because(Reason::HostFault)?;
        doings.prepared = true;
    }
    for service in services {
        if !doings.done.contains_key(&service.unit) {
            let wanted = wanted(world, service).because(Reason::HostFault)?;
            let doing = act(world, service, &wanted, steps)?;
            doings.done.insert(service.unit.clone(), doing);
        }
        match readiness(world, service, doings, steps)? {
            Readiness::Ready(how) => {
                if doings.ready.insert(service.unit.clone()) {
                    // What it wrote at its first start it may not have synced.
                    sweep::sync();
                    doings.waits = 0;
                    let left = doings.done[&service.unit].action == Action::Nothing;
                    steps.step(&service.unit, if left { Outcome::Same } else { Outcome::Done }, &how);
                }
            }
            Readiness::NotYet(reason, why) => {
                doings.waits += 1;
                let lines = world.without_secrets(&systemd::last_lines(&service.unit));
                if doings.waits % LINES_EVERY == FIRST_LINES {
                    steps.step(&service.unit, Outcome::Waiting, &with_lines("its last lines so far:", &lines));
                }
                // The guard is no component's own program.
                let who = if service.ready == Ready::Announced { "guard" } else { service.component.as_str() };
                let message = format!("{who}: {why}");
                return Ok(Some(Answer::Waiting { reason, message, lines }));
            }
        }
    }
    Ok(None)
}

fn wanted(world: &World, service: &Service) -> anyhow::Result<Applied> {
    applied::wanted(world, service).with_context(|| format!("looking what {} runs with", service.unit))
}

fn answer(services: &[&Service], doings: &Doings) -> Answer {
    let touched: Vec<String> = services
        .iter()
        .filter_map(|service| Some((service, doings.done.get(&service.unit)?.action)))
        .filter(|(_, action)| *action != Action::Nothing)
        .map(|(service, action)| format!("{} {}", service.unit, action.past()))
        .collect();
    let ready = format!("{} ready", count(services.len(), "service"));
    if touched.is_empty() { Answer::Same(ready) } else { Answer::Done(format!("{ready}: {}", touched.join(", "))) }
}

/// Once per run: forgets what the ledger has of units whose component has been installed anew, and makes systemd read new unit files.
fn prepare(world: &World) -> anyhow::Result<()> {
    let services = &world.plan().services;
    let changed = world.changed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    world.ledger().change(|ledger| {
        for service in services.iter().filter(|service| changed.contains(&service.component)) {
            ledger.units.remove(&service.unit);
        }
    })?;
    let unit_file =
        |file: &anymetal_contract::plan::File| file.path.starts_with(applied::UNITS) && changed.contains(&file.name);
    let mut reload = world.plan().files.iter().any(unit_file);
    for service in services {
        let wanted = wanted(world, service)?;
        reload |= world
            .ledger()
            .ask(|ledger| ledger.units.get(&service.unit).is_none_or(|applied| applied.program != wanted.program));
    }
    if reload {
        systemd::daemon_reload()?;
    }
    Ok(())
}

/// Enables the unit and makes it run with what it should. The ledger is told after systemd: a kill in between means one restart more.
fn act(world: &World, service: &Service, wanted: &Applied, steps: &dyn Steps) -> Result<Doing, Failure> {
    let name = &service.unit;
    let mut unit = systemd::show(name).because(Reason::HostFault)?;
    if !unit.is_loaded() {
        return Err(Failure::new(Reason::ServiceFailed, format!("systemd cannot load {name} ({})", unit.load)));
    }
    if unit.wants_enabling() {
        systemd::enable(name).because(Reason::ServiceFailed)?;
    }
    // systemd may have tried to start it before us, in vain.
    let failed = unit.has_failed();
    if failed && remove_truncated(world, service, steps).because(Reason::HostFault)? {
        unit = systemd::show(name).because(Reason::HostFault)?;
    }
    let applied = world.ledger().ask(|ledger| ledger.units.get(name).cloned());
    let action = unit.action(applied.as_ref(), wanted, service.reload);
    if let Some(verb) = action.verb() {
        if unit.active == "failed" {
            systemd::reset_failed(name).because(Reason::ServiceFailed)?;
        }
        systemd::queue(verb, name).because(Reason::ServiceFailed)?;
        world
            .ledger()
            .change(|ledger| drop(ledger.units.insert(name.clone(), wanted.clone())))
            .because(Reason::HostFault)?;
        steps.step(name, Outcome::Progress, action.past());
    }
    let registration = Registration::default();
    Ok(Doing { action, restarts: unit.restarts, seen: None, governed: false, mended: failed, registration })
}

/// Removes the files that end a failed service at every start because a power cut has emptied them: those that its component names, and no others.
/// The service is stopped before, as systemd may be about to start it again. Returns whether there were any.
fn remove_truncated(world: &World, service: &Service, steps: &dyn Steps) -> anyhow::Result<bool> {
    let Some(data) = &service.data else { return Ok(false) };
    let folder = world.at(&data.folder);
    if sweep::empty_files(&folder, &data.fatal_when_empty)?.is_empty() {
        return Ok(false);
    }
    systemd::stop(&service.unit)?;
    let empty = sweep::remove_empty_files(&folder, &data.fatal_when_empty)?;
    let names: Vec<String> = empty.iter().map(|path| path.display().to_string()).collect();
    let message = format!("removed what a power cut left empty: {}", names.join(", "));
    steps.step(&service.unit, Outcome::Progress, &message);
    Ok(!empty.is_empty())
}

fn readiness(world: &World, service: &Service, doings: &mut Doings, steps: &dyn Steps) -> Result<Readiness, Failure> {
    let not_ready = |why: String| Readiness::NotYet(Reason::ServiceNotReady, why);
    let unit = systemd::show(&service.unit).because(Reason::HostFault)?;
    let doing = doings.done.get_mut(&service.unit).expect("a unit is acted upon before its readiness is asked");
    doing.restarts = doing.restarts.min(unit.restarts);
    if !doing.mended && unit.has_failed() {
        doing.mended = true;
        if remove_truncated(world, service, steps).because(Reason::HostFault)? {
            systemd::queue("start", &service.unit).because(Reason::ServiceFailed)?;
            return Ok(not_ready("starting it once more".to_owned()));
        }
    }
    match unit.standing(unit.restarts - doing.restarts) {
        Standing::Down(why) => {
            let lines = world.without_secrets(&systemd::last_lines(&service.unit));
            let held = held(service).map_or_else(String::new, |held| format!("; {held}"));
            let message = with_lines(&format!("{} {why}{held}", service.unit), &lines);
            Err(Failure::new(Reason::ServiceFailed, message))
        }
        Standing::Coming(why) => {
            doing.seen = None;
            Ok(not_ready(format!("waiting for it to start: {why}")))
        }
        Standing::Up => match &service.ready {
            Ready::Active | Ready::Announced => Ok(lasting(doing, &unit)),
            Ready::ConsulLeader(base) | Ready::NomadNode(base) => {
                let of = if matches!(service.ready, Ready::ConsulLeader(_)) { Acl::Consul } else { Acl::Nomad };
                let http = api::client(world).because(Reason::HostFault)?;
                let leader = match cluster::leader(&Api::new(&http, of, base, None)) {
                    Ok(leader) => leader,
                    Err(missing) => return Ok(not_ready(format!("waiting for a leader: {:#}", missing.error))),
                };
                if let Some(why) = govern(world, service, doing, steps)? {
                    return Ok(Readiness::NotYet(Reason::AccessRefused, why));
                }
                if let (Ready::NomadNode(_), Some(access)) = (&service.ready, &service.access)
                    && let Err(missing) = node_is_ready(world, access)
                {
                    let why = format!("waiting for this node to be ready: {:#}", missing.error);
                    register(service, doing, missing.kind, steps)?;
                    return Ok(not_ready(why));
                }
                Ok(Readiness::Ready(format!("ready, the leader is {leader}")))
            }
        },
    }
}

/// Who holds the port of a service's API, which is down.
fn held(service: &Service) -> Option<String> {
    let (Ready::ConsulLeader(base) | Ready::NomadNode(base)) = &service.ready else { return None };
    let at = holder::address(base)?;
    let by = holder::of(at)?;
    Some(format!("its port {at} is held by {by}; hint: end it, then `systemctl restart {}`", service.unit))
}

/// Puts access to a service right, once per run. Says why that cannot be done yet.
fn govern(world: &World, service: &Service, doing: &mut Doing, steps: &dyn Steps) -> Result<Option<String>, Failure> {
    let Some(access) = service.access.as_ref().filter(|_| !doing.governed) else { return Ok(None) };
    let step = format!("{} access", service.component);
    match access::ensure(world, access)? {
        Ensured::NotYet(why) => return Ok(Some(why)),
        Ensured::Refused(words) => {
            let message = format!("{} does not accept the site's management token: {words}", api::name(access.of));
            return Err(Failure::new(Reason::AccessRefused, message));
        }
        Ensured::Done(changes) => steps.step(&step, Outcome::Done, &format!("put right: {}", changes.join(", "))),
        Ensured::Same => steps.step(&step, Outcome::Same, "as the plan declares it"),
    }
    doing.governed = true;
    Ok(None)
}

/// Restarts a Nomad that this run has started and that does not take this node up, once: nothing can run on a node that it does not know.
fn register(service: &Service, doing: &mut Doing, missing: MissingKind, steps: &dyn Steps) -> Result<(), Failure> {
    let may = matches!(doing.action, Action::Start | Action::Restart) && missing == MissingKind::Unknown;
    if !doing.registration.is_stuck(may, clock::monotonic()) {
        return Ok(());
    }
    systemd::queue("restart", &service.unit).because(Reason::ServiceFailed)?;
    // Not as progress, which is thinned out.
    steps.step(&service.unit, Outcome::Waiting, registration::RESTARTED);
    Ok(())
}

fn node_is_ready(world: &World, access: &Access) -> Result<(), Missing> {
    let away = |error| Missing { kind: MissingKind::Away, error };
    let (http, secrets) = (api::client(world).map_err(away)?, world.secrets());
    let api = Api::new(&http, access.of, &access.api, secrets.value(&access.management));
    cluster::nomad_node_is_ready(&api, &world.machine().hostname)
}

/// A unit that was just started is looked at twice: most that die at once are `active` for a moment before.
fn lasting(doing: &mut Doing, unit: &Unit) -> Readiness {
    let before = doing.seen.replace(unit.main_pid);
    if doing.action == Action::Nothing || before == Some(unit.main_pid) {
        Readiness::Ready(format!("ready, {}", unit.active))
    } else {
        Readiness::NotYet(Reason::ServiceNotReady, "waiting to see that it stays up".to_owned())
    }
}

fn with_lines(sentence: &str, lines: &str) -> String {
    if lines.is_empty() { sentence.to_owned() } else { format!("{sentence}\n{lines}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_just_started_must_be_seen_twice_with_the_same_process() {
        let unit = |main_pid| Unit { active: "active".into(), main_pid, ..Unit::default() };
        let doing = |action| Doing {
            action,
            restarts: 0,
            seen: None,
            governed: false,
            mended: true,
            registration: Registration::default(),
        };
        let mut started = doing(Action::Start);
        let is_ready = |doing: &mut Doing, main_pid| matches!(lasting(doing, &unit(main_pid)), Readiness::Ready(_));
        assert!(!is_ready(&mut started, 10));
        assert!(!is_ready(&mut started, 11), "another process is a first look again");
        assert!(is_ready(&mut started, 11));
        let mut left = doing(Action::Nothing);
        assert!(is_ready(&mut left, 10));
    }
}
