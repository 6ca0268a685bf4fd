//! Evaluations worked off: what a job wants against what there is, on the one node there is.
//! May not run tasks: it writes allocations, which `runner` takes up.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::canonical;
use super::health;
use super::placement::{self, Node, Refusal};
use super::state::{State, ended, key, terminal, text};
use super::world::World;
use crate::{clock, id};

/// Nomad's words on an allocation that is tried again elsewhere.
const RESCHEDULED: &str = "alloc was rescheduled because it failed";

/// Works off what is due.
pub fn tick(world: &World) {
    if !world.has_leader() {
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
    let again = world.read(|state| state.allocs.values().any(|alloc| followed(state, alloc)));
    if again {
        world.change(follow);
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
            serde_json::Map::new()
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
fn block(state: &mut State, eval: &Value, refused: &serde_json::Map<String, Value>) -> String {
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

fn stop(state: &mut State, alloc: &str, why: &str) {
    state.alloc(alloc, |document| {
        document["DesiredStatus"] = "stop".into();
        document["DesiredDescription"] = why.into();
    });
}

/// Stops what is too much or too old, places what is missing; says what could not be placed and why.
fn reconcile(world: &World, state: &mut State, job: &Value, eval: &str) -> serde_json::Map<String, Value> {
    let (namespace, job_id) = (text(job, "Namespace").to_owned(), text(job, "ID").to_owned());
    let mut refused = serde_json::Map::new();
    let deployment = deployment(state, job);
    let groups: Vec<Value> = job["TaskGroups"].as_array().cloned().unwrap_or_default();
    for group in &groups {
        let name = text(group, "Name");
        let count = usize::try_from(group["Count"].as_u64().unwrap_or(1)).unwrap_or(1);
        let there: Vec<Value> = state
            .allocs_of(&namespace, &job_id)
            .into_iter()
            .filter(|alloc| text(alloc, "TaskGroup") == name && text(alloc, "DesiredStatus") == "run")
            .cloned()
            .collect();
        let mut wanted: Vec<(usize, Option<Value>)> = Vec::new();
        for at in 0..count {
            let full = format!("{job_id}.{name}[{at}]");
            let current = there.iter().rfind(|alloc| text(alloc, "Name") == full);
            match current {
                None => wanted.push((at, given_up(state, &namespace, &job_id, &full))),
                Some(alloc) if alloc["Job"]["Version"] == job["Version"] => {
                    if text(alloc, "ClientStatus") == "lost" {
                        wanted.push((at, Some(alloc.clone())));
                    }
                }
                Some(alloc) if alike(&super::runner::group(alloc), group) && !ended(alloc) => {
                    state.alloc(text(alloc, "ID"), |document| {
                        document["Job"] = job.clone();
                        document["JobVersion"] = job["Version"].clone();
                        document["DeploymentID"] = deployment.clone().map_or(Value::Null, Value::from);
                        document["DeploymentStatus"] = Value::Null;
                    });
                    if let Some(deployment) = &deployment {
                        placed(state, deployment, name);
                    }
                }
                Some(alloc) => {
                    stop(state, text(alloc, "ID"), "alloc is being updated due to job update");
                    wanted.push((at, Some(alloc.clone())));
                }
            }
        }
        for alloc in there.iter().filter(|alloc| index_of(alloc) >= count && !ended(alloc)) {
            stop(state, text(alloc, "ID"), "alloc not needed due to job update");
        }
        for (at, previous) in wanted {
            let placing = Placing { job, group, at, previous, eval, deployment: deployment.as_deref() };
            if let Err(why) = place(world, state, &placing) {
                refused.insert(name.to_owned(), metrics(world, &why, group));
            }
        }
    }
    let known: Vec<&str> = groups.iter().map(|group| text(group, "Name")).collect();
    let gone: Vec<String> = state
        .allocs_of(&namespace, &job_id)
        .into_iter()
        .filter(|alloc| !terminal(alloc) && !known.contains(&text(alloc, "TaskGroup")))
        .map(|alloc| text(alloc, "ID").to_owned())
        .collect();
    for alloc in gone {
        stop(state, &alloc, "alloc not needed due to job update");
    }
    refused
}

/// Whether two versions of a group differ in nothing that needs a new start.
fn alike(one: &Value, other: &Value) -> bool {
    let bare = |group: &Value| {
        let mut group = group.clone();
        if let Some(map) = group.as_object_mut() {
            for key in ["Count", "Update", "ReschedulePolicy", "Migrate", "Scaling"] {
                map.remove(key);
            }
        }
        group
    };
    canonical::same(&bare(one), &bare(other))
}

fn index_of(alloc: &Value) -> usize {
    let index = text(alloc, "Name").rsplit_once('[').and_then(|(_, index)| index.trim_end_matches(']').parse().ok());
    index.unwrap_or(0)
}

/// The deployment of a job's version, made when there is none; services have one.
fn deployment(state: &mut State, job: &Value) -> Option<String> {
    if text(job, "Type") != "service" {
        return None;
    }
    let last = state.deployment_of(text(job, "Namespace"), text(job, "ID")).cloned();
    if let Some(last) = &last
        && last["JobVersion"] == job["Version"]
        && last["JobCreateIndex"] == job["CreateIndex"]
    {
        return Some(text(last, "ID").to_owned());
    }
    if let Some(last) = last.filter(|last| text(last, "Status") == "running") {
        health::end(state, text(&last, "ID"), "cancelled", "Cancelled due to newer version of job");
    }
    let index = state.next("deployment");
    let id = id::make();
    let groups: serde_json::Map<String, Value> = job["TaskGroups"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| {
            let update = &group["Update"];
            let one = json!({"AutoPromote": false, "AutoRevert": update["AutoRevert"], "DesiredCanaries": 0,
                "DesiredTotal": group["Count"], "HealthyAllocs": 0, "PlacedAllocs": 0, "PlacedCanaries": null,
                "ProgressDeadline": update["ProgressDeadline"], "Promoted": false,
                "RequireProgressBy": "0001-01-01T00:00:00Z", "UnhealthyAllocs": 0});
            (text(group, "Name").to_owned(), one)
        })
        .collect();
    let document = json!({"ID": id, "Namespace": job["Namespace"], "JobID": job["ID"], "JobVersion": job["Version"],
        "JobCreateIndex": job["CreateIndex"], "JobModifyIndex": job["JobModifyIndex"],
        "JobSpecModifyIndex": job["JobModifyIndex"], "IsMultiregion": false, "EvalPriority": 50, "Status": "running",
        "StatusDescription": "Deployment is running", "TaskGroups": groups, "CreateIndex": index, "ModifyIndex": index});
    state.deployments.insert(id.clone(), document);
    Some(id)
}

/// One allocation to place.
struct Placing<'a> {
    job: &'a Value,
    group: &'a Value,
    at: usize,
    previous: Option<Value>,
    eval: &'a str,
    deployment: Option<&'a str>,
}

fn place(world: &World, state: &mut State, placing: &Placing) -> Result<(), Refusal> {
    let Placing { job, group, at, previous, eval, deployment } = placing;
    let datacenters = job["Datacenters"].as_array().into_iter().flatten();
    if !datacenters.map(Value::as_str).any(|name| name == Some(&world.config.datacenter)) {
        return Err(Refusal::Filtered(String::new()));
    }
    let taken: BTreeSet<(String, u16)> = state
        .allocs
        .values()
        .filter(|alloc| !terminal(alloc))
        .flat_map(|alloc| alloc["AllocatedResources"]["Shared"]["Ports"].as_array().into_iter().flatten())
        .map(|port| (text(port, "HostIP").to_owned(), u16::try_from(port["Value"].as_u64().unwrap_or(0)).unwrap_or(0)))
        .collect();
    let (addresses, drivers) = (world.addresses(), world.drivers());
    let node = Node {
        addresses: &addresses,
        drivers: &drivers,
        range: world.config.dynamic_ports,
        consul: world.consul.load(Ordering::SeqCst),
        taken: &taken,
    };
    let ports = placement::place(group, &node)?;
    let (id, now, index) = (id::make(), clock::now(), state.next("allocs"));
    let name = text(group, "Name");
    let (tracker, before) = match previous {
        Some(previous) => (tracked(previous, now), text(previous, "ID").to_owned()),
        None => (Value::Null, String::new()),
    };
    let mut alloc = json!({"ID": id, "Namespace": job["Namespace"], "EvalID": eval,
        "Name": format!("{}.{name}[{at}]", text(job, "ID")), "NodeID": state.node, "NodeName": world.name,
        "JobID": job["ID"], "Job": job, "JobVersion": job["Version"], "TaskGroup": name,
        "AllocatedResources": placement::resources(group, &ports), "Resources": null, "SharedResources": null,
        "TaskResources": null, "Metrics": {"NodesEvaluated": 1, "NodesFiltered": 0, "NodesExhausted": 0,
            "NodesAvailable": {&world.config.datacenter: 1}},
        "DesiredStatus": "run", "DesiredDescription": "", "DesiredTransition": {"ForceReschedule": null,
            "Migrate": null, "NoShutdownDelay": null, "Reschedule": null},
        "ClientStatus": "pending", "ClientDescription": "", "TaskStates": null, "DeploymentID": deployment,
        "DeploymentStatus": null, "FollowupEvalID": "", "NextAllocation": "", "PreviousAllocation": before,
        "RescheduleTracker": tracker, "NetworkStatus": null, "PreemptedAllocations": null,
        "PreemptedByAllocation": "", "AllocModifyIndex": index, "CreateIndex": index, "ModifyIndex": index,
        "CreateTime": now, "ModifyTime": now});
    if deployment.is_none() {
        alloc["DeploymentID"] = "".into();
    }
    state.allocs.insert(id.clone(), alloc);
    if let Some(previous) = previous {
        state.alloc(text(previous, "ID"), |document| document["NextAllocation"] = id.clone().into());
    }
    if let Some(deployment) = deployment {
        placed(state, deployment, name);
    }
    Ok(())
}

/// Notes in a deployment that an allocation of a group has its place; from the first on, time runs.
fn placed(state: &mut State, deployment: &str, group: &str) {
    state.deployment(deployment, |document| {
        let of = &mut document["TaskGroups"][group];
        of["PlacedAllocs"] = (of["PlacedAllocs"].as_i64().unwrap_or(0) + 1).into();
        let deadline = of["ProgressDeadline"].as_i64().unwrap_or(0);
        if text(of, "RequireProgressBy").starts_with("0001") {
            of["RequireProgressBy"] = clock::text(clock::now() + deadline).into();
        }
    });
}

/// The failed allocation of this name that still has to be replaced.
fn given_up(state: &State, namespace: &str, job: &str, name: &str) -> Option<Value> {
    let all = state.allocs_of(namespace, job);
    let last = all.into_iter().rfind(|alloc| text(alloc, "Name") == name)?;
    let waits = text(last, "DesiredDescription") == RESCHEDULED && text(last, "NextAllocation").is_empty();
    waits.then(|| last.clone())
}

/// What a replacement knows of those before it.
fn tracked(previous: &Value, now: i64) -> Value {
    if !ended(previous) {
        return Value::Null;
    }
    let mut tracker = previous["RescheduleTracker"].clone();
    if tracker.is_null() {
        tracker = json!({"Events": []});
    }
    if let Some(events) = tracker["Events"].as_array_mut() {
        events.push(json!({"PrevAllocID": previous["ID"], "PrevNodeID": previous["NodeID"], "RescheduleTime": now,
            "Delay": delay(previous)}));
    }
    tracker
}

/// Why a group has no place, as an evaluation has it.
fn metrics(world: &World, why: &Refusal, group: &Value) -> Value {
    let mut all = json!({"AllocationTime": 1, "ClassExhausted": null, "ClassFiltered": null, "CoalescedFailures": 0,
        "ConstraintFiltered": null, "DimensionExhausted": null, "NodesAvailable": {&world.config.datacenter: 1},
        "NodesEvaluated": 1, "NodesExhausted": 0, "NodesFiltered": 0, "QuotaExhausted": null,
        "ResourcesExhausted": null, "ScoreMetaData": null, "Scores": null});
    match why {
        Refusal::Filtered(reason) if reason.is_empty() => {
            all["NodesEvaluated"] = 0.into();
            all["NodesAvailable"] = json!({});
        }
        Refusal::Filtered(reason) => {
            all["NodesFiltered"] = 1.into();
            all["ConstraintFiltered"] = json!({reason: 1});
        }
        Refusal::Exhausted(reason) => {
            all["NodesExhausted"] = 1.into();
            all["DimensionExhausted"] = json!({reason: 1});
            let none = json!({"CPU": 0, "Cores": 0, "Devices": null, "DiskMB": 0, "IOPS": 0, "MemoryMB": 0,
                "MemoryMaxMB": 0, "Networks": null});
            let tasks = group["Tasks"].as_array().into_iter().flatten();
            let tasks: serde_json::Map<String, Value> =
                tasks.map(|task| (text(task, "Name").to_owned(), none.clone())).collect();
            all["ResourcesExhausted"] = tasks.into();
        }
    }
    all
}

/// Whether a failed allocation is to be tried once more and nothing has been done about it yet.
fn followed(state: &State, alloc: &Value) -> bool {
    let failed = text(alloc, "ClientStatus") == "failed" && text(alloc, "DesiredStatus") == "run";
    if !failed || !text(alloc, "NextAllocation").is_empty() {
        return false;
    }
    let due = match text(alloc, "FollowupEvalID") {
        "" => true,
        followup => state.evals.get(followup).is_none_or(|eval| text(eval, "Status") != "pending"),
    };
    due && again(alloc)
        && state
            .jobs
            .get(&key(text(alloc, "Namespace"), text(alloc, "JobID")))
            .is_some_and(|job| job["Stop"] != true && job["Version"] == alloc["JobVersion"])
}

/// Whether the policy allows another try.
fn again(alloc: &Value) -> bool {
    let policy = &super::runner::group(alloc)["ReschedulePolicy"];
    if policy["Unlimited"] == true {
        return true;
    }
    let attempts = policy["Attempts"].as_u64().unwrap_or(0);
    let since = clock::now() - policy["Interval"].as_i64().unwrap_or(0);
    let events = alloc["RescheduleTracker"]["Events"].as_array().into_iter().flatten();
    let tried = events.filter(|event| event["RescheduleTime"].as_i64().unwrap_or(0) > since).count() as u64;
    tried < attempts
}

/// How long another try waits.
fn delay(alloc: &Value) -> i64 {
    let policy = &super::runner::group(alloc)["ReschedulePolicy"];
    let (base, limit) = (policy["Delay"].as_i64().unwrap_or(0), policy["MaxDelay"].as_i64().unwrap_or(i64::MAX));
    let tried = alloc["RescheduleTracker"]["Events"].as_array().map_or(0, Vec::len);
    match text(policy, "DelayFunction") {
        "constant" => base,
        _ => base.saturating_mul(1 << tried.min(30)).min(limit),
    }
}

/// Replaces failed allocations whose time has come, and notes the time of the others.
fn follow(state: &mut State) {
    let failed: Vec<Value> = state.allocs.values().filter(|alloc| followed(state, alloc)).cloned().collect();
    for alloc in failed {
        let (namespace, job) = (text(&alloc, "Namespace"), text(&alloc, "JobID"));
        if text(&alloc, "FollowupEvalID").is_empty() {
            let eval = state.evaluate(namespace, job, "alloc-failure");
            if let Some(document) = state.evals.get_mut(&eval) {
                document["WaitUntil"] = (clock::now() + delay(&alloc)).into();
            }
            state.alloc(text(&alloc, "ID"), |document| document["FollowupEvalID"] = eval.into());
        } else {
            // The wait is over: the next evaluation fills its place.
            state.alloc(text(&alloc, "ID"), |document| {
                document["DesiredStatus"] = "stop".into();
                document["DesiredDescription"] = RESCHEDULED.into();
            });
            state.evaluate(namespace, job, "alloc-failure");
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
