//! The work of the phase `metadata`: one poll of the platform's metadata service per call, or one look for the machine's own document.
//! May not wait or count tries: the runner does; what a document means is the platform room's business.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anymetal_contract::plan::{Delivery, Report};
use anymetal_contract::{Outcome, Phase, Reason};

use super::clock::{Correction, correction};
use super::findings::quoted;
use super::kept::{self, Kept, Recalled};
use super::{Machine, Platform, Service, Whence, border, file, named, resolvers, unspoken};
use crate::phase::{Answer, Steps};
use crate::secrets::Secrets;
use crate::siblings;
use crate::sys::{clock, clock_step};
use crate::world::World;
use anymetal_supply::date;
use anymetal_supply::failure::Failure;
use anymetal_supply::http::{Certificates, Http, Limits, Question};
use anymetal_supply::resolve;
use anymetal_supply::tls::Refused;

/// The largest document that is read. Real ones have 3 to 10 KB; `customdata` may make them longer.
const MOST: u64 = 1024 * 1024;

/// Why a base did not give a machine this time.
struct Trouble {
    reason: Reason,
    message: String,
    /// The certificate is one that another clock would accept.
    clock: bool,
}

/// The phase's deadline, when the plan names none; see `boot::LIST`.
const DEADLINE: Duration = Duration::from_mins(15);
/// How long a node that was up once waits for somebody to answer before it goes by what it kept; of a short deadline a quarter.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks each base in turn for the machine. Nothing a service answers is final: sessions, addresses and the service itself come up
/// after the machine does, so all of it is waited for, to the plan's deadline; a node that was up once goes by the document it kept, after a
/// short wait. Only a plan this init cannot follow fails at once.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    if let Some(machine) = world.machine.get() {
        return Ok(Answer::Same(told(machine)));
    }
    let platform = named(&world.plan().platform)?;
    let waited = world.metadata_asked.get_or_init(clock::monotonic).elapsed();
    let answer = match &platform.whence {
        Whence::Service(service) => Ok(poll(world, steps, platform, service)),
        Whence::File => file::look::work(world, steps),
    };
    let (reason, why) = match &answer {
        Ok(Answer::Done(_) | Answer::Same(_)) => return answer,
        Ok(Answer::Waiting { reason, message, .. }) => (*reason, message.clone()),
        Err(failure) => (failure.reason, failure.chain()),
    };
    let kept = match kept::recall(world, platform.name) {
        Recalled::Nothing => return answer,
        Recalled::Unusable(what) => {
            return answer.map(|_| Answer::waiting(reason, format!("{why}; what was kept is not used: {what}")));
        }
        Recalled::Good(kept) => kept,
    };
    if waited < patience(world) {
        return Ok(Answer::waiting(reason, format!("{why}; what was kept of {} is used before long", kept.since)));
    }
    go_by(world, steps, platform, *kept, &why)
}

/// What is kept is used after so long.
fn patience(world: &World) -> Duration {
    let planned = world.plan().deadlines.get(&Phase::Metadata);
    let deadline = planned.map_or(DEADLINE, |seconds| Duration::from_secs(u64::from(*seconds)));
    PATIENCE.min(deadline / 4)
}

/// Takes the machine that was kept, since `why` no newer one is to be had.
fn go_by(world: &World, steps: &dyn Steps, platform: &Platform, kept: Kept, why: &str) -> Result<Answer, Failure> {
    let Kept { from, since, service, document, .. } = kept;
    let whence = format!("what was kept of {from}");
    let mut machine = match platform.machine(document.as_bytes()) {
        Ok(machine) => machine,
        Err(failure) => {
            return Ok(Answer::waiting(failure.reason, format!("{why}; {whence} is not used: {}", failure.chain())));
        }
    };
    if let Whence::Service(own) = &platform.whence {
        machine.service = sockets(&bases(world, own)).union(&service).copied().collect();
        judge_reports(world, &from, &mut machine);
    }
    machine.stale_since = Some(since.clone());
    let answer = accept(world, steps, &whence, machine, platform.remedy)?;
    if matches!(answer, Answer::Done(_)) {
        let message = format!("metadata is stale since {since}: {why}");
        steps.step("warning", Outcome::Done, &message);
    }
    Ok(answer)
}

/// Who is asked, in order.
fn bases<'a>(world: &'a World, service: &Service) -> Vec<&'a str> {
    if let Some(pointed) = &world.overrides.metadata {
        return vec![pointed];
    }
    let plain: &[&str] = if world.plan().metadata.plain_http { service.plain_bases } else { &[] };
    service.bases.iter().chain(plain).copied().collect()
}

fn poll(world: &World, steps: &dyn Steps, platform: &Platform, service: &Service) -> Answer {
    let bases = bases(world, service);
    // A redirect leads to somebody else, and perhaps out of TLS.
    let http = Http::afresh(Limits::QUESTION, Certificates::Checked);
    let mut troubles = Vec::new();
    for base in &bases {
        let base = base.trim_end_matches('/');
        let url = format!("{base}{}", service.path);
        let mut asked = ask(&http, &url, platform, service);
        if asked.as_ref().is_err_and(|trouble| trouble.clock) && correct_clock(world, base, steps) {
            asked = ask(&http, &url, platform, service);
        }
        let (mut machine, text) = match asked {
            Ok(answered) => answered,
            Err(trouble) => {
                troubles.push(trouble);
                continue;
            }
        };
        machine.service = sockets(&bases);
        judge_reports(world, base, &mut machine);
        match accept(world, steps, &url, machine, platform.remedy) {
            Ok(answer) => {
                keep(world, steps, platform, &url, &text, &answer);
                return answer;
            }
            // What one place answers may be wrong, and another's right.
            Err(failure) => troubles.push(Trouble {
                reason: failure.reason,
                message: format!("asking {url}: {}", failure.chain()),
                clock: false,
            }),
        }
    }
    summed_up(&troubles)
}

/// Keeps the document that has just been accepted. A node can go on without, so what stands in the way is only told.
pub(super) fn keep(world: &World, steps: &dyn Steps, platform: &Platform, from: &str, text: &str, answer: &Answer) {
    if let Answer::Done(_) = answer
        && let Err(error) = kept::keep(world, platform.name, from, text)
    {
        steps.step("warning", Outcome::Done, &format!("{error:#}"));
    }
}

/// Takes away where progress would be told, when that is a stranger the site has not named.
fn judge_reports(world: &World, base: &str, machine: &mut Machine) {
    let plan = world.plan();
    let Some(url) = machine.user_state_url.take_if(|url| !border::may_hear(url, base, plan)) else { return };
    if plan.reports.contains(&Report::Platform) {
        machine.warnings.push(format!(
            "user_state_url is {}, not of the metadata service itself, so it is told nothing: name its host under \
             `metadata.report_hosts` of the site if it is the platform's",
            quoted(&url)
        ));
    }
}

fn ask(http: &Http, url: &str, platform: &Platform, service: &Service) -> Result<(Machine, String), Trouble> {
    let question = Question { method: "GET", url, headers: service.headers, body: None };
    let answered = http.ask(&question, MOST).map_err(|error| Trouble {
        reason: Reason::MetadataUnreachable,
        clock: is_about_the_clock(&error),
        message: format!("{error:#}"),
    })?;
    let trouble = |reason, message| Trouble { reason, message, clock: false };
    let body = String::from_utf8_lossy(&answered.body).into_owned();
    if answered.status != 200 {
        let excuse = (service.excuse)(answered.status, &body);
        return Err(trouble(Reason::MetadataUnreachable, format!("asking {url}: it answers {excuse}")));
    }
    let machine = platform
        .machine(&answered.body)
        .map_err(|failure| trouble(failure.reason, format!("asking {url}: {}", failure.chain())))?;
    Ok((machine, body))
}

/// A service that answered nonsense is worth more words than one that did not answer: its reason wins.
fn summed_up(troubles: &[Trouble]) -> Answer {
    let worse = troubles.iter().map(|trouble| trouble.reason).find(|reason| *reason != Reason::MetadataUnreachable);
    let reason = worse.unwrap_or(Reason::MetadataUnreachable);
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
    border::private_subnets(plan, &machine)?;
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
    let sentence = match machine.neighbours.len() {
        0 => format!("{sentence}, no BGP neighbours"),
        1 => format!("{sentence}, 1 BGP neighbour"),
        many => format!("{sentence}, {many} BGP neighbours"),
    };
    machine.stale_since.iter().fold(sentence, |sentence, since| format!("{sentence}; metadata is stale since {since}"))
}

/// Whether another clock would believe the certificate that was shown.
fn is_about_the_clock(error: &anyhow::Error) -> bool {
    Refused::of(error).is_some_and(Refused::is_of_another_time)
}

/// Sets the clock so that a base's certificate can be checked: by what the base itself says under its certificate, else, when the site lets plain
/// HTTP in, by what it says without. Says whether the clock was set.
fn correct_clock(world: &World, base: &str, steps: &dyn Steps) -> bool {
    let own = world.at("/") == Path::new("/");
    let set = |to| {
        anyhow::ensure!(own, "this is not the machine's own root");
        clock_step::step(to)
    };
    let now = clock_step::now();
    let parse = |date: &str| httpdate::parse_http_date(date).ok();
    match date::vouched(base, now, &super::clock::bounds(), date::roots(), parse) {
        Ok(date) => set_to(&date, base, now, set, steps),
        Err(error) if world.plan().metadata.plain_http => {
            steps.step("clock", Outcome::Progress, &format!("{error:#}; plain HTTP is asked for the time"));
            let host = base.trim_start_matches("https://").split(['/', ':']).next().unwrap_or_default();
            set_by(&format!("http://{host}/"), now, set, steps)
        }
        Err(error) => left_alone(&format!("{error:#}"), steps),
    }
}

fn left_alone(why: &str, steps: &dyn Steps) -> bool {
    steps.step("clock", Outcome::Failed, &format!("{why}; the clock is left alone"));
    false
}

/// Sets the clock by the `Date` a plain-HTTP answer has. That is as trustworthy as the network, so only a site that says so comes here.
fn set_by(url: &str, now: SystemTime, set: impl Fn(SystemTime) -> anyhow::Result<()>, steps: &dyn Steps) -> bool {
    // A redirect to HTTPS has a Date too; its certificate would fail for the very reason we are here.
    let date = match Http::afresh(Limits::QUESTION, Certificates::Ignored).get(url, MOST) {
        Ok(answered) => answered.date,
        Err(error) => return left_alone(&format!("{error:#}"), steps),
    };
    let Some(date) = date else { return left_alone(&format!("{url} answers without a date"), steps) };
    set_to(&date, url, now, set, steps)
}

/// Sets the clock to what `url` says, when it is off and the date can be right.
fn set_to(
    date: &str,
    url: &str,
    now: SystemTime,
    set: impl Fn(SystemTime) -> anyhow::Result<()>,
    steps: &dyn Steps,
) -> bool {
    let left = |why: String| left_alone(&why, steps);
    match correction(date, now) {
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

#[cfg(test)]
#[path = "kept_tests.rs"]
mod kept_tests;
