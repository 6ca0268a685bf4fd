//! The phase `jobs`: each job of the plan submitted to Nomad and followed until it is healthy and what it serves answers.
//! May not wait: it answers `Waiting` and is called again. What it has done so far lies in [`Doings`].

mod ask;
mod standing;
mod submit;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use anymetal_contract::plan::{Acl, Job};
use anymetal_contract::{Outcome, Reason};

use crate::access;
use crate::api::{self, Api};
use crate::phase::{Answer, Steps};
use crate::plan::count;
use crate::secret::Secret;
use crate::sys::sweep;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};
use anymetal_supply::http::Http;
use standing::{Standing, standing};
use submit::Submitted;

/// What this run has done with the jobs so far.
#[derive(Debug, Default)]
pub(crate) struct Doings {
    /// The version of each that was submitted, or was there.
    versions: BTreeMap<String, u64>,
    /// Those that this run has submitted.
    submitted: Vec<String>,
    healthy: BTreeSet<String>,
}

/// Why a job is not healthy yet.
struct Ailing {
    reason: Reason,
    message: String,
    lines: String,
}

/// The phase's work. All jobs are submitted before the first is followed: they come up side by side.
pub(crate) fn work(world: &World, steps: &dyn Steps) -> Result<Answer, Failure> {
    let jobs = &world.plan().jobs;
    let http = api::client(world).because(Reason::HostFault)?;
    let mut doings = world.jobs.lock().unwrap_or_else(PoisonError::into_inner);
    for job in jobs {
        if doings.versions.contains_key(&job.name) {
            continue;
        }
        let token = access::known(world, &job.token)?;
        let (version, submitted) = match submit::submit(world, &api(&http, job, &token), job)? {
            Submitted::Now(version) => (version, true),
            Submitted::Before(version) => (version, false),
            Submitted::NotYet(answer) => return Ok(answer),
        };
        doings.versions.insert(job.name.clone(), version);
        if submitted {
            steps.step(&job.name, Outcome::Progress, &format!("submitted, version {version}"));
            doings.submitted.push(job.name.clone());
        }
    }
    // What tasks wrote at their first start they may not have synced.
    sweep::sync();
    let mut ailing = Vec::new();
    for job in jobs {
        let token = access::known(world, &job.token)?;
        let healthy = doings.healthy.contains(&job.name);
        match follow(world, &api(&http, job, &token), job, doings.versions[&job.name])? {
            None if healthy => {}
            None => {
                let new = doings.submitted.contains(&job.name);
                steps.step(&job.name, if new { Outcome::Done } else { Outcome::Same }, "healthy");
                doings.healthy.insert(job.name.clone());
            }
            Some(why) => {
                doings.healthy.remove(&job.name);
                ailing.push(why);
            }
        }
    }
    Ok(if ailing.is_empty() { answer(jobs, &doings) } else { waiting(ailing) })
}

fn api<'a>(http: &Http, job: &'a Job, token: &'a Secret) -> Api<'a> {
    Api::new(http, Acl::Nomad, &job.api, Some(token))
}

/// What the job lacks to be healthy, or nothing.
fn follow(world: &World, api: &Api<'_>, job: &Job, version: u64) -> Result<Option<Ailing>, Failure> {
    let about = |what: &str| format!("{}: {what}", job.name);
    let told = match ask::told(api, job, version) {
        Ok(told) => told,
        Err(error) => {
            let message = about(&format!("asking how it is: {error:#}"));
            return Ok(Some(Ailing { reason: Reason::JobNotReady, message, lines: String::new() }));
        }
    };
    let lines = || world.without_secrets(&ask::last_lines(api, job, &told));
    let (reason, why) = match standing(&told) {
        Standing::Up => match ask::unanswered(job, world.facts()) {
            None => return Ok(None),
            Some(why) => (Reason::JobNotReady, why),
        },
        Standing::Coming(why) => (Reason::JobNotReady, why),
        Standing::Homeless(why) => (Reason::JobRefused, why),
        Standing::Failed(why) => {
            let lines = lines();
            let message = if lines.is_empty() { about(&why) } else { format!("{}\n{lines}", about(&why)) };
            return Err(Failure::new(Reason::JobFailed, message));
        }
    };
    Ok(Some(Ailing { reason, message: about(&why), lines: lines() }))
}

/// All that is not healthy in one line, and the last words of the first of them that said any.
fn waiting(ailing: Vec<Ailing>) -> Answer {
    let reason = ailing[0].reason;
    let message = ailing.iter().map(|one| one.message.as_str()).collect::<Vec<_>>().join("; ");
    let lines = ailing.into_iter().map(|one| one.lines).find(|lines| !lines.is_empty()).unwrap_or_default();
    Answer::Waiting { reason, message, lines }
}

fn answer(jobs: &[Job], doings: &Doings) -> Answer {
    let healthy = format!("{} healthy", count(jobs.len(), "job"));
    if doings.submitted.is_empty() {
        return Answer::Same(healthy);
    }
    Answer::Done(format!("{healthy}: {} submitted", doings.submitted.join(", ")))
}
