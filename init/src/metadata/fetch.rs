//! The work of the phase `metadata`: one poll of the platform's metadata service per call, or one look for the machine's own document.
//! May not wait or count tries: the runner does; what a document means is the platform room's business.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use anymetal_contract::plan::Delivery;
use anymetal_contract::{Outcome, Reason};

use super::clock::{Correction, correction};
use super::{Machine, Platform, Service, Whence, file, named, resolvers, unspoken};
use crate::phase::{Answer, Steps};
use crate::secrets::Secrets;
use crate::siblings;
use crate::sys::clock_step;
use crate::world::World;
use anymetal_supply::failure::Failure;
use anymetal_supply::http::{Certificates, Http, Limits, Question};
use anymetal_supply::resolve;

/// The largest document that is read. Real ones have 3 to 10 KB; `customdata` may make them longer.
const MOST: u64 = 1024 * 1024;

/// Why a base did not give a machine this time.
struct Trouble {
    reason: Reason,
    message: String,
    /// The certificate is one that another clock would accept.
    clock: bool,
}

/// Asks each base in turn for the machine. Nothing a service answers is final: sessions, addresses and the service itself come up
/// after the machine does, so all of it is waited for, to the plan's deadline. Only a plan this init cannot follow fails at once.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    if let Some(machine) = world.machine.get() {
        return Ok(Answer::Same(told(machine)));
    }
    let platform = named(&world.plan().platform)?;
    match &platform.whence {
        Whence::Service(service) => poll(world, steps, platform, service),
        Whence::File => file::look::work(world, steps),
    }
}

fn poll(world: &World, steps: &dyn Steps, platform: &Platform, service: &Service) -> Result<Answer, Failure> {
    let pointed: Vec<&str> = world.overrides.metadata.iter().map(String::as_str).collect();
    let bases = if pointed.is_empty() { service.bases } else { &pointed };
    let http = Http::new(Limits::QUESTION, Certificates::Checked);
    let mut troubles = Vec::new();
    for base in bases {
        let base = base.trim_end_matches('/');
        let url = format!("{base}{}", service.path);
        let mut asked = ask(&http, &url, platform, service);
        if asked.as_ref().is_err_and(|trouble| trouble.clock) && correct_clock(world, base, steps) {
            asked = ask(&http, &url, platform, service);
        }
        match asked {
            Ok(mut machine) => {
                machine.service = sockets(bases);
                return accept(world, steps, &url, machine, platform.remedy);
            }
            Err(trouble) => troubles.push(trouble),
        }
    }
    Ok(summed_up(&troubles))
}

fn ask(http: &Http, url: &str, platform: &Platform, service: &Service) -> Result<Machine, Trouble> {
    let question = Question { method: "GET", url, headers: service.headers, body: None };
    let answered = http.ask(&question, MOST).map_err(|error| Trouble {
        reason: Reason::MetadataUnreachable,
        clock: is_about_the_clock(&error),
        message: format!("{error:#}"),
    })?;
    let trouble = |reason, message| Trouble { reason, message, clock: false };
    let body = String::from_utf8_lossy(&answered.body);
    if answered.status != 200 {
        let excuse = (service.excuse)(answered.status, &body);
        return Err(trouble(Reason::MetadataUnreachable, format!("asking {url}: it answers {excuse}")));
    }
    (platform.read)(&body).map_err(|failure| trouble(failure.reason, format!("asking {url}: {}", failure.chain())))
}

/// A service that answered nonsense is worth more words than one that did not answer: its reason wins.
fn summed_up(troubles: &[Trouble]) -> Answer {
    let invalid = troubles.iter().any(|trouble| trouble.reason == Reason::MetadataInvalid);
    let reason = if invalid { Reason::MetadataInvalid } else { Reason::MetadataUnreachable };
    let message = troubles.iter().map(|trouble| trouble.message.as_str()).collect::<Vec<_>>().join("; ");
    Answer::waiting(reason, message)
}

/// Every address any of the bases has, so that all of them can be closed to workloads. A name that cannot be looked up has none.
fn sockets(bases: &[&str]) -> BTreeSet<SocketAddr> {
    bases.iter().flat_map(|base| resolve::sockets(base)).collect()
}

/// Takes the machine that `whence` describes, unless something is still to come.
pub(super) fn accept(
    world: &World,
    steps: &dyn Steps,
    whence: &str,
    mut machine: Machine,
    remedy: &str,
) -> Result<Answer, Failure> {
    let plan = world.plan();
    machine.resolvers = resolvers::read(&world.at(resolvers::FILE));
    world.hidden.add(machine.neighbours.iter().filter_map(|neighbour| neighbour.password.as_ref()));
    // Blobs do not wait for BGP sessions.
    siblings::join(world, &machine, steps);
    let missing = unspoken(&plan.anycast, &machine);
    if !missing.is_empty() {
        let families = missing.into_iter().map(super::Family::name).collect::<Vec<_>>().join(" and ");
        let message = format!(
            "{whence} knows the machine {}, but no BGP session of it for {families} yet: {remedy}",
            machine.hostname
        );
        return Ok(Answer::waiting(Reason::MetadataNoBgp, message));
    }
    if plan.secrets == Some(Delivery::Customdata) {
        let Some(document) = &machine.customdata else {
            let message = format!(
                "{whence} knows the machine {}, but has no secrets in its custom data yet: \
                 set it to the customdata.json that `anymetal build` wrote",
                machine.hostname
            );
            return Ok(Answer::waiting(Reason::SecretsMissing, message));
        };
        world.learn(Secrets::read(document.expose().as_bytes(), "in the machine's custom data", plan)?);
    }
    for warning in &machine.warnings {
        steps.step("warning", Outcome::Done, &format!("{whence}: {warning}"));
    }
    Ok(Answer::Done(told(world.machine.get_or_init(|| machine))))
}

/// The machine in one sentence.
fn told(machine: &Machine) -> String {
    let mut sentence = machine.hostname.clone();
    if let Some(place) = machine.facility.as_ref().or(machine.metro.as_ref()) {
        sentence = format!("{sentence} in {place}");
    }
    if let Some(private) = &machine.private4 {
        sentence = format!("{sentence}, private {}", private.address);
    }
    match machine.neighbours.len() {
        0 => format!("{sentence}, no BGP neighbours"),
        1 => format!("{sentence}, 1 BGP neighbour"),
        many => format!("{sentence}, {many} BGP neighbours"),
    }
}

/// By rustls' words: the TLS library is the HTTP client's own affair, so its types are not ours to match.
fn is_about_the_clock(error: &anyhow::Error) -> bool {
    error
        .chain()
        .map(ToString::to_string)
        .any(|cause| ["certificate expired", "certificate not valid yet"].iter().any(|words| cause.contains(words)))
}

/// Whether the clock was set.
fn correct_clock(world: &World, base: &str, steps: &dyn Steps) -> bool {
    let host = base.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
    let own = world.at("/") == Path::new("/");
    let set = |to| {
        anyhow::ensure!(own, "this is not the machine's own root");
        clock_step::step(to)
    };
    set_by(&format!("http://{host}/"), clock_step::now(), set, steps)
}

/// Sets the clock by the `Date` a plain-HTTP answer has. That is as trustworthy as the network; it decides only whether a certificate
/// is checked against the right day, as the platform's own installer does it, and artefacts are pinned by digest.
fn set_by(url: &str, now: SystemTime, set: impl Fn(SystemTime) -> anyhow::Result<()>, steps: &dyn Steps) -> bool {
    let left = |why: String| {
        steps.step(
            "clock",
            Outcome::Failed,
            &format!("{why}; the clock is left alone, and bases without TLS are tried"),
        );
        false
    };
    // A redirect to HTTPS has a Date too; its certificate would fail for the very reason we are here.
    let date = match Http::new(Limits::QUESTION, Certificates::Ignored).get(url, MOST) {
        Ok(answered) => answered.date,
        Err(error) => return left(format!("{error:#}")),
    };
    let Some(date) = date else { return left(format!("{url} answers without a date")) };
    match correction(&date, now) {
        Correction::Keep => left(format!("the clock agrees with {url}, so the certificate itself is out of date")),
        Correction::Unusable(why) => left(format!("asking {url}: {why}")),
        Correction::Step { to, off } => match set(to) {
            Ok(()) => {
                steps.step("clock", Outcome::Done, &format!("the clock was {off}: set to {date}, as {url} says"));
                true
            }
            Err(error) => left(format!("the clock is {off} by {url}, but {error:#}")),
        },
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
