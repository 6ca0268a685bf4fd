//! A job of the plan to a job of Nomad's: rendered, marked with a digest of all it depends on, submitted unless it is there already.
//! May not follow what becomes of it.

use anyhow::Context as _;
use anymetal_contract::plan::{Job, Source};
use anymetal_contract::{Digest, Reason, place};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ask;
use super::standing::{self, Standing};
use super::wire::NomadJob;
use crate::api::Api;
use crate::phase::Answer;
use crate::render::render;
use crate::sys::fs;
use crate::world::World;
use anymetal_supply::failure::{Because as _, Failure};

/// The key of a job's `Meta` that holds the digest of what it was made from.
const DIGEST: &str = "anymetal_digest";
/// The key that makes a new version of a job whose last deployment failed: how often that was done.
const RETRY: &str = "anymetal_retry";

/// What came of submitting.
pub(super) enum Submitted {
    /// This version is there now, and was made by this submission.
    Now(u64),
    /// This version was there.
    Before(u64),
    /// Nomad cannot take it yet.
    NotYet(Answer),
}

/// Makes it so that Nomad has the job as the plan says.
pub(super) fn submit(world: &World, api: &Api<'_>, job: &Job) -> Result<Submitted, Failure> {
    let text = render(job, world.facts(), &world.secrets())?;
    let digest = digest(world, job, &text).because(Reason::HostFault)?;
    let mut body: Value = serde_json::from_str(&text).map_err(|error| {
        // serde's own words may quote a secret.
        let place = format!("line {}, column {}", error.line(), error.column());
        Failure::new(Reason::TemplateBroken, format!("rendering the job {}: it is not JSON ({place})", job.name))
    })?;
    let there = match existing(api, job) {
        Ok(there) => there,
        Err(error) => return Ok(not_yet(job, &format!("{error:#}"))),
    };
    let mut retry = 0;
    if let Some(there) = &there {
        let meta = |key: &str| there.meta.as_ref().and_then(|meta| meta.get(key));
        let same = meta(DIGEST).map(String::as_str) == Some(digest.as_str()) && !there.stop;
        match ask::told(api, job, there.version).map(|told| standing::standing(&told)) {
            Ok(Standing::Failed(_)) => retry = meta(RETRY).and_then(|count| count.parse().ok()).unwrap_or(0u64) + 1,
            Ok(_) if same => return Ok(Submitted::Before(there.version)),
            Ok(_) => {}
            Err(error) => return Ok(not_yet(job, &format!("{error:#}"))),
        }
    }
    body["ID"] = job.name.as_str().into();
    body["Name"] = job.name.as_str().into();
    body["Namespace"] = job.namespace.as_str().into();
    body["Meta"] = json!({DIGEST: digest.as_str(), RETRY: retry.to_string()});
    let reply = match api.put("/v1/jobs", &json!({"Job": body})) {
        Ok(reply) => reply,
        Err(error) => return Ok(not_yet(job, &format!("{error:#}"))),
    };
    if !reply.is_good() {
        // Without a leader, and right after one was elected, it answers 500 for what it takes a moment later.
        if reply.status >= 500 && reply.text.contains("leader") {
            return Ok(not_yet(job, &reply.words()));
        }
        let message = world.without_secrets(&format!("Nomad refuses the job {}: {}", job.name, reply.words()));
        return Err(Failure::new(Reason::JobRefused, message));
    }
    match existing(api, job) {
        Ok(Some(made)) => Ok(Submitted::Now(made.version)),
        Ok(None) => Ok(not_yet(job, "it has taken the job and does not have it")),
        Err(error) => Ok(not_yet(job, &format!("{error:#}"))),
    }
}

fn not_yet(job: &Job, why: &str) -> Submitted {
    Submitted::NotYet(Answer::waiting(
        Reason::JobNotReady,
        format!("{}: waiting for Nomad to take the job: {why}", job.name),
    ))
}

fn existing(api: &Api<'_>, job: &Job) -> anyhow::Result<Option<NomadJob>> {
    let reply = api.get(&ask::path(job, ""))?;
    if reply.status == 404 { Ok(None) } else { reply.json().map(Some) }
}

/// A digest of the job's text, of what its files hold and of the archive its program came from: whatever changes one of them is a new version.
/// It says nothing of the secrets in the text, which are random.
fn digest(world: &World, job: &Job, text: &str) -> anyhow::Result<Digest> {
    let mut digest = Sha256::new();
    let mut add = |piece: &[u8]| {
        digest.update((piece.len() as u64).to_le_bytes());
        digest.update(piece);
    };
    add(text.as_bytes());
    let plan = world.plan();
    for component in plan.components.iter().filter(|component| component.name == job.component) {
        add(component.version.as_bytes());
        if let Source::Artefacts(artefacts) = &component.source
            && let Some(artefact) = artefacts.get(&world.arch)
        {
            add(artefact.sha256.as_str().as_bytes());
        }
    }
    // Who trusts the site's CA has read its certificate at its start.
    if text.contains(place::CA) {
        add(&fs::read_if_there(&world.at(place::CA))?.unwrap_or_default());
    }
    for file in plan.files.iter().filter(|file| job.files.contains(&file.name)) {
        add(&fs::read(&world.at(&file.path)).with_context(|| format!("looking what the job {} runs with", job.name))?);
    }
    Ok(Digest::of(digest.finalize().into()))
}
