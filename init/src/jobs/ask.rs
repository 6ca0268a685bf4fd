//! Questions about one job: what Nomad tells of it, its tasks' last words, and whether what it serves answers.
//! May not judge: `standing` and the phase do.

use std::time::Duration;

use anymetal_contract::plan::Job;

use super::standing::{Told, current, telling_task};
use crate::api::Api;
use crate::facts::Facts;
use crate::proof::{self, Reach};
use anymetal_supply::probe::Probe;

/// How long an answer may take.
const ANSWERS: Duration = Duration::from_secs(20);
/// How much of a task's log is read from its end, in bytes, and how many of its lines are told.
const TAIL: u64 = 8192;
const TOLD: usize = 10;

/// The path of a question about a job, in its namespace.
pub(super) fn path(job: &Job, rest: &str) -> String {
    format!("/v1/job/{}{rest}?namespace={}", job.name, job.namespace)
}

/// All that Nomad tells of one version.
pub(super) fn told(api: &Api<'_>, job: &Job, version: u64) -> anyhow::Result<Told> {
    Ok(Told {
        version,
        deployment: api.get(&path(job, "/deployment"))?.json()?,
        allocations: api.get(&path(job, "/allocations"))?.json()?,
        evaluations: api.get(&path(job, "/evaluations"))?.json()?,
    })
}

/// The last lines of the task that tells most; none when there is no task, or nothing was said.
pub(super) fn last_lines(api: &Api<'_>, job: &Job, told: &Told) -> String {
    let Some((allocation, task)) = current(told).and_then(|allocation| Some((allocation, telling_task(allocation)?)))
    else {
        return String::new();
    };
    // What went wrong is on stderr as a rule; some programs say everything on stdout.
    for stream in ["stderr", "stdout"] {
        let id = &allocation.id;
        let path = format!(
            "/v1/client/fs/logs/{id}?task={task}&type={stream}&plain=true&origin=end&offset={TAIL}&namespace={}",
            job.namespace
        );
        let said = api.get(&path).ok().filter(crate::api::Reply::is_good).map(|reply| reply.text).unwrap_or_default();
        let mut lines: Vec<&str> = said.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        // A task that ends at once says the same at every start.
        lines.dedup();
        if !lines.is_empty() {
            return lines[lines.len().saturating_sub(TOLD)..].join("\n");
        }
    }
    String::new()
}

/// What must answer and does not, in words; `None` when all of it does.
pub(super) fn unanswered(job: &Job, facts: &Facts) -> Option<String> {
    let probe = Probe::new(ANSWERS);
    job.answers
        .iter()
        .flat_map(|answers| proof::requests(answers, facts.domains(), facts.tls(), facts.routed()))
        .find_map(|request| request.ask(&probe, Reach::Within).why)
}
