//! What a job wants against what there is: what is stopped, what goes on, what is placed, in which deployment.
//! May not run tasks: it writes allocations, which `runner` takes up.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::placement::{self, Node, Refusal};
use super::state::{State, ended, terminal, text};
use super::world::World;
use super::{canonical, health, reschedule};
use crate::{clock, id};

/// What could not be placed and why, by group.
pub type Refused = serde_json::Map<String, Value>;

/// Stops what is too much or too old, places what is missing; says what could not be placed and why.
pub fn reconcile(world: &World, state: &mut State, job: &Value, eval: &str) -> Refused {
    let (namespace, job_id) = (text(job, "Namespace").to_owned(), text(job, "ID").to_owned());
    let mut refused = Refused::new();
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
                None => wanted.push((at, reschedule::given_up(state, &namespace, &job_id, &full))),
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

/// Stops an allocation.
pub fn stop(state: &mut State, alloc: &str, why: &str) {
    state.alloc(alloc, |document| {
        document["DesiredStatus"] = "stop".into();
        document["DesiredDescription"] = why.into();
    });
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
    let living = state.allocs.values().filter(|alloc| !terminal(alloc));
    let promised: u64 = living.map(|alloc| alloc["AllocatedResources"]["Shared"]["DiskMB"].as_u64().unwrap_or(0)).sum();
    let (addresses, drivers) = (world.addresses(), world.drivers());
    let node = Node {
        addresses: &addresses,
        drivers: &drivers,
        range: world.config.dynamic_ports,
        consul: world.consul.load(Ordering::SeqCst),
        taken: &taken,
        disk: world.disk.saturating_sub(promised),
    };
    let ports = placement::place(group, &node)?;
    let (id, now, index) = (id::make(), clock::now(), state.next("allocs"));
    let name = text(group, "Name");
    let (tracker, before) = match previous {
        Some(previous) => (reschedule::tracked(previous, now), text(previous, "ID").to_owned()),
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
