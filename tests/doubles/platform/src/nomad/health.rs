//! Health of allocations and the course of deployments: what Nomad decides from tasks, checks and deadlines.
//! May not ask Consul: its word on checks lies in the world.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::consul;
use super::events::{self, Happens};
use super::runner::group;
use super::state::{State, ended, key, text};
use super::world::World;
use crate::clock::{self, words};

/// Since when the checks of allocations pass, by allocation.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<String, i64>);

/// What an allocation's health is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Health {
    Unknown,
    Healthy,
    Unhealthy(String),
}

impl Watch {
    /// Judges what is to be judged.
    pub fn tick(&mut self, world: &World) {
        if !world.has_leader() {
            return;
        }
        let open: Vec<Value> = world.read(|state| {
            let mine = |alloc: &&Value| {
                alloc["DeploymentStatus"]["Healthy"].is_null()
                    && text(alloc, "DesiredStatus") == "run"
                    && state.deployments.get(text(alloc, "DeploymentID")).is_some_and(running)
            };
            state.allocs.values().filter(mine).cloned().collect()
        });
        let checks = world.checks.lock().map(|checks| checks.clone()).unwrap_or_default();
        let now = clock::now();
        self.0.retain(|id, _| open.iter().any(|alloc| text(alloc, "ID") == id));
        for alloc in &open {
            let id = text(alloc, "ID").to_owned();
            let pass =
                consul::checks_of(alloc).iter().all(|check| checks.get(check).is_some_and(|said| said == "passing"));
            if pass {
                self.0.entry(id.clone()).or_insert(now);
            } else {
                self.0.remove(&id);
            }
            match judge(alloc, self.0.get(&id).copied(), now) {
                Health::Unknown => {}
                Health::Healthy => world.change(|state| note(state, alloc, true, None)),
                Health::Unhealthy(why) => world.change(|state| note(state, alloc, false, Some(&why))),
            }
        }
        let late =
            world.read(|state| state.deployments.values().any(|one| running(one) && verdict(one, now).is_some()));
        if late {
            world.change(|state| conclude(state, now));
        }
        // A stopped job's last allocation may still be leaving; deployments of it were ended by the scheduler.
    }
}

fn running(deployment: &Value) -> bool {
    text(deployment, "Status") == "running"
}

/// The health of an allocation: its tasks run, its checks pass, and both have for long enough.
fn judge(alloc: &Value, passing: Option<i64>, now: i64) -> Health {
    let update = &group(alloc)["Update"];
    let number = |key: &str| update[key].as_i64().unwrap_or(0);
    let states: Vec<&Value> = alloc["TaskStates"].as_object().into_iter().flat_map(|map| map.values()).collect();
    if states.iter().any(|state| state["State"] == "dead" && state["Failed"] == true) || ended(alloc) {
        return Health::Unhealthy("Unhealthy because of failed task".into());
    }
    let all = !states.is_empty() && states.iter().all(|state| state["State"] == "running");
    let started = states.iter().filter_map(|state| clock::parse(text(state, "StartedAt"))).max();
    let checked = text(update, "HealthCheck") == "checks";
    if text(update, "HealthCheck") != "manual" && all {
        let since = match (started, passing) {
            (Some(started), Some(passing)) if checked => Some(started.max(passing)),
            (Some(started), _) if !checked => Some(started),
            _ => None,
        };
        if since.is_some_and(|since| now - since >= number("MinHealthyTime")) {
            return Health::Healthy;
        }
    }
    let deadline = number("HealthyDeadline");
    if now - alloc["CreateTime"].as_i64().unwrap_or(now) < deadline {
        return Health::Unknown;
    }
    let (healthy, deadline) = (words(number("MinHealthyTime")), words(deadline));
    Health::Unhealthy(if all {
        format!("Task not running for min_healthy_time of {healthy} by healthy_deadline of {deadline}")
    } else {
        format!("Task not running by healthy_deadline of {deadline}")
    })
}

/// Writes an allocation's health down, and in its deployment.
fn note(state: &mut State, alloc: &Value, healthy: bool, why: Option<&str>) {
    let now = clock::now();
    let index = state.index + 1;
    state.alloc(text(alloc, "ID"), |document| {
        document["DeploymentStatus"] =
            json!({"Healthy": healthy, "Timestamp": clock::text(now), "Canary": false, "ModifyIndex": index});
        let states = document["TaskStates"].as_object_mut().into_iter().flat_map(|map| map.values_mut());
        for task in states {
            if let Some(why) = why {
                events::add(task, events::event(&Happens::Unhealthy(why.to_owned()), now));
            }
        }
    });
    state.deployment(text(alloc, "DeploymentID"), |document| {
        let of = &mut document["TaskGroups"][text(alloc, "TaskGroup")];
        let count = if healthy { "HealthyAllocs" } else { "UnhealthyAllocs" };
        of[count] = (of[count].as_i64().unwrap_or(0) + 1).into();
        if healthy {
            let deadline = of["ProgressDeadline"].as_i64().unwrap_or(0);
            of["RequireProgressBy"] = clock::text(now + deadline).into();
        }
    });
}

/// How a running deployment ends now, if it does.
fn verdict(deployment: &Value, now: i64) -> Option<(&'static str, &'static str)> {
    let groups: Vec<&Value> = deployment["TaskGroups"].as_object().into_iter().flat_map(|map| map.values()).collect();
    let number = |group: &Value, key: &str| group[key].as_i64().unwrap_or(0);
    if groups.iter().all(|group| number(group, "HealthyAllocs") >= number(group, "DesiredTotal")) {
        return Some(("successful", "Deployment completed successfully"));
    }
    for group in groups {
        if number(group, "ProgressDeadline") == 0 {
            if number(group, "UnhealthyAllocs") > 0 {
                return Some(("failed", "Failed due to unhealthy allocations"));
            }
        } else if clock::parse(text(group, "RequireProgressBy")).is_some_and(|by| now > by) {
            return Some(("failed", "Failed due to progress deadline"));
        }
    }
    None
}

fn conclude(state: &mut State, now: i64) {
    let due: Vec<(Value, &str, &str)> = state
        .deployments
        .values()
        .filter(|one| running(one))
        .filter_map(|one| verdict(one, now).map(|(status, words)| (one.clone(), status, words)))
        .collect();
    for (deployment, status, words) in due {
        end(state, text(&deployment, "ID"), status, words);
        let (namespace, job) = (text(&deployment, "Namespace"), text(&deployment, "JobID"));
        if status == "successful"
            && let Some(document) = state.jobs.get_mut(&key(namespace, job))
            && document["Version"] == deployment["JobVersion"]
        {
            document["Stable"] = true.into();
        }
        state.evaluate(namespace, job, "deployment-watcher");
    }
}

/// Ends a deployment.
pub fn end(state: &mut State, deployment: &str, status: &str, words: &str) {
    state.deployment(deployment, |document| {
        document["Status"] = status.into();
        document["StatusDescription"] = words.into();
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn alloc(tasks: &Value) -> Value {
        let update = json!({"HealthCheck": "checks", "MinHealthyTime": SECOND, "HealthyDeadline": 8 * SECOND});
        json!({"TaskGroup": "g", "ClientStatus": "running", "CreateTime": 0, "TaskStates": tasks,
            "Job": {"TaskGroups": [{"Name": "g", "Update": update}]}})
    }

    #[test]
    fn tasks_and_checks_must_be_well_for_long_enough() {
        let well = alloc(&json!({"t": {"State": "running", "Failed": false, "StartedAt": clock::text(SECOND)}}));
        assert_eq!(judge(&well, Some(2 * SECOND), 2 * SECOND), Health::Unknown);
        assert_eq!(judge(&well, Some(2 * SECOND), 3 * SECOND), Health::Healthy);
        assert_eq!(judge(&well, None, 7 * SECOND), Health::Unknown);
        let late = "Task not running for min_healthy_time of 1s by healthy_deadline of 8s";
        assert_eq!(judge(&well, None, 9 * SECOND), Health::Unhealthy(late.into()));
    }

    #[test]
    fn a_failed_task_is_unhealthy_at_once_and_a_waiting_one_at_the_deadline() {
        let failed = alloc(&json!({"t": {"State": "dead", "Failed": true}}));
        assert_eq!(judge(&failed, Some(1), 2), Health::Unhealthy("Unhealthy because of failed task".into()));
        let waiting = alloc(&json!({"t": {"State": "pending", "Failed": false}}));
        assert_eq!(judge(&waiting, Some(1), 2), Health::Unknown);
        let late = Health::Unhealthy("Task not running by healthy_deadline of 8s".into());
        assert_eq!(judge(&waiting, Some(1), 9 * SECOND), late);
    }

    #[test]
    fn a_deployment_ends_well_or_at_its_deadline() {
        let of = |healthy: i64, by: i64| {
            json!({"TaskGroups": {"g": {"HealthyAllocs": healthy, "DesiredTotal": 1, "ProgressDeadline": 10, "UnhealthyAllocs": 1,
                "RequireProgressBy": clock::text(by)}}})
        };
        assert_eq!(verdict(&of(1, 5), 9), Some(("successful", "Deployment completed successfully")));
        assert_eq!(verdict(&of(0, 5), 4), None);
        assert_eq!(verdict(&of(0, 5), 6), Some(("failed", "Failed due to progress deadline")));
        let mut unplaced = of(0, 5);
        unplaced["TaskGroups"]["g"]["RequireProgressBy"] = "0001-01-01T00:00:00Z".into();
        assert_eq!(verdict(&unplaced, 6), None);
    }
}
