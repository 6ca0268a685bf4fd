//! Evaluations worked off, for the one node there is.
//! May not decide what a job wants: `reconcile` does.

use serde_json::{Value, json};

use super::reconcile::{Refused, reconcile, stop};
use super::state::{State, key, terminal, text};
use super::world::World;
use super::{health, reschedule};
use crate::clock;

/// Works off what is due.
pub fn tick(world: &World) {
    if !world.has_leader() || !world.is_registered() {
        return;
    }
    let due: Vec<Value> = world.read(|state| {
        let open = |eval: &&Value| {
            text(eval, "Status") == "pending" && eval["WaitUntil"].as_i64().unwrap_or(0) <= clock::now()
        };
        let mut due: Vec<Value> = state.evals.values().filter(open).cloned().collect();
        due.sort_by_key(|eval| eval["CreateIndex"].as_u64());
        due
    });
    for eval in due {
        world.change(|state| work(world, state, &eval));
    }
    let again = world.read(|state| state.allocs.values().any(|alloc| reschedule::followed(state, alloc)));
    if again {
        world.change(reschedule::follow);
    }
    if world.read(|state| unblocked(world, state)) {
        world.change(|state| retry(world, state));
    }
}

/// Works off one evaluation.
fn work(world: &World, state: &mut State, eval: &Value) {
    let (namespace, job_id) = (text(eval, "Namespace").to_owned(), text(eval, "JobID").to_owned());
    let eval_id = text(eval, "ID").to_owned();
    let refused = match state.jobs.get(&key(&namespace, &job_id)).filter(|job| job["Stop"] != true).cloned() {
        None => {
            stop_all(state, &namespace, &job_id);
            Refused::new()
        }
        Some(job) => reconcile(world, state, &job, &eval_id),
    };
    let queued: serde_json::Map<String, Value> = state
        .jobs
        .get(&key(&namespace, &job_id))
        .and_then(|job| job["TaskGroups"].as_array().cloned())
        .into_iter()
        .flatten()
        .map(|group| (text(&group, "Name").to_owned(), json!(i64::from(refused.contains_key(text(&group, "Name"))))))
        .collect();
    let deployment = state.deployment_of(&namespace, &job_id).map(|one| one["ID"].clone());
    let blocked = if refused.is_empty() { None } else { Some(block(state, eval, &refused)) };
    let index = state.next("evals");
    if let Some(document) = state.evals.get_mut(&eval_id) {
        document["Status"] = "complete".into();
        document["QueuedAllocations"] = queued.into();
        document["ModifyIndex"] = index.into();
        document["ModifyTime"] = clock::now().into();
        if let Some(deployment) = deployment {
            document["DeploymentID"] = deployment;
        }
        if let Some(blocked) = blocked {
            document["BlockedEval"] = blocked.into();
            document["FailedTGAllocs"] = refused.into();
        }
    }
}

/// Keeps what could not be placed for later, in an evaluation of its own.
fn block(state: &mut State, eval: &Value, refused: &Refused) -> String {
    let (namespace, job) = (text(eval, "Namespace"), text(eval, "JobID"));
    for other in state.evals.values_mut() {
        if text(other, "JobID") == job && text(other, "Namespace") == namespace && text(other, "Status") == "blocked" {
            other["Status"] = "canceled".into();
        }
    }
    let blocked = state.evaluate(namespace, job, "queued-allocs");
    if let Some(document) = state.evals.get_mut(&blocked) {
        document["Status"] = "blocked".into();
        document["StatusDescription"] = "created to place remaining allocations".into();
        document["PreviousEval"] = eval["ID"].clone();
        document["FailedTGAllocs"] = refused.clone().into();
    }
    blocked
}

fn stop_all(state: &mut State, namespace: &str, job: &str) {
    let live: Vec<String> = state
        .allocs_of(namespace, job)
        .into_iter()
        .filter(|alloc| !terminal(alloc))
        .map(|a| text(a, "ID").into())
        .collect();
    for alloc in live {
        stop(state, &alloc, "alloc not needed due to job update");
    }
    let open = state.deployment_of(namespace, job).filter(|one| text(one, "Status") == "running");
    if let Some(deployment) = open.map(|one| text(one, "ID").to_owned()) {
        health::end(state, &deployment, "cancelled", "Cancelled because job is stopped");
    }
    for eval in state.evals.values_mut() {
        if text(eval, "JobID") == job && text(eval, "Namespace") == namespace && text(eval, "Status") == "blocked" {
            eval["Status"] = "canceled".into();
        }
    }
}

/// Whether something that had no place has one now.
fn unblocked(world: &World, state: &State) -> bool {
    state.evals.values().any(|eval| text(eval, "Status") == "blocked" && placeable(world, state, eval))
}

fn placeable(world: &World, state: &State, eval: &Value) -> bool {
    let Some(job) = state.jobs.get(&key(text(eval, "Namespace"), text(eval, "JobID"))) else { return true };
    let mut trial = state.clone();
    let refused = reconcile(world, &mut trial, job, "trial");
    refused.is_empty()
}

fn retry(world: &World, state: &mut State) {
    let blocked: Vec<Value> = state.evals.values().filter(|eval| text(eval, "Status") == "blocked").cloned().collect();
    for eval in blocked {
        if placeable(world, state, &eval)
            && let Some(document) = state.evals.get_mut(text(&eval, "ID"))
        {
            document["Status"] = "pending".into();
        }
    }
}
