//! Jobs: submitted, shown, stopped.
//! May not place anything: a job becomes an evaluation.

use serde_json::{Value, json};

use super::reads::{short, sorted};
use super::{Asked, denied, invalid_method, written};
use crate::clock;
use crate::http::Reply;
use crate::nomad::state::{State, key, text};
use crate::nomad::{canonical, validate};

/// `/v1/jobs`, `/v1/job/…`, `/v1/validate/job`.
pub fn answer(asked: &Asked, parts: &[&str]) -> Reply {
    match (asked.request.method.as_str(), parts) {
        ("GET", ["jobs"]) => list(asked),
        ("POST" | "PUT", ["jobs"]) => submit(asked, None),
        ("POST" | "PUT", ["validate", "job"]) => check(asked),
        (method, ["job", rest @ ..]) if !rest.is_empty() => {
            let (last, before) = rest.split_last().expect("a rest that is not empty has a last");
            let known = ["allocations", "evaluations", "deployments", "deployment", "summary", "versions"];
            // Ids may have slashes.
            if !before.is_empty() && known.contains(last) {
                return if method == "GET" { part(asked, &before.join("/"), last) } else { invalid_method() };
            }
            let id = rest.join("/");
            match method {
                "GET" => {
                    let namespace = asked.namespace();
                    if let Some(refused) = asked.refused(namespace, "read-job") {
                        return refused;
                    }
                    asked.read("jobs", |state| shown(state, namespace, &id), "job not found")
                }
                "POST" | "PUT" => submit(asked, Some(&id)),
                "DELETE" => stop(asked, &id),
                _ => invalid_method(),
            }
        }
        _ => invalid_method(),
    }
}

/// A job with the status it has now.
fn shown(state: &State, namespace: &str, id: &str) -> Option<Value> {
    let mut job = state.jobs.get(&key(namespace, id))?.clone();
    job["Status"] = state.job_status(namespace, id).into();
    Some(job)
}

fn summary(state: &State, job: &Value) -> Value {
    let (namespace, id) = (text(job, "Namespace"), text(job, "ID"));
    let allocs = state.allocs_of(namespace, id);
    let groups: serde_json::Map<String, Value> = job["TaskGroups"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| {
            let of = |status: &str| {
                let mine = allocs.iter().filter(|alloc| alloc["TaskGroup"] == group["Name"]);
                mine.filter(|alloc| text(alloc, "ClientStatus") == status).count()
            };
            let mut evals = state.evals.values();
            let queued = evals.any(|eval| text(eval, "JobID") == id && text(eval, "Status") == "blocked");
            let one = json!({"Queued": usize::from(queued), "Complete": of("complete"), "Failed": of("failed"),
                "Running": of("running"), "Starting": of("pending"), "Lost": of("lost"), "Unknown": 0});
            (text(group, "Name").to_owned(), one)
        })
        .collect();
    json!({"JobID": id, "Namespace": namespace, "Summary": groups, "Children": {"Dead": 0, "Pending": 0, "Running": 0},
        "CreateIndex": job["CreateIndex"], "ModifyIndex": state.index_of("allocs")})
}

fn list(asked: &Asked) -> Reply {
    let (namespace, prefix) = (asked.namespace(), asked.request.asked("prefix").unwrap_or_default());
    if namespace != "*"
        && let Some(refused) = asked.refused(namespace, "list-jobs")
    {
        return refused;
    }
    let read = |state: &State| {
        let seen = state.jobs.values().filter(|job| {
            let of = text(job, "Namespace");
            (namespace == "*" || of == namespace)
                && asked.rights.may(of, "list-jobs")
                && text(job, "ID").starts_with(prefix)
        });
        let fields = [
            "CreateIndex",
            "Datacenters",
            "ID",
            "JobModifyIndex",
            "ModifyIndex",
            "Multiregion",
            "Name",
            "Namespace",
            "ParentID",
            "Priority",
            "StatusDescription",
            "Stop",
            "SubmitTime",
            "Type",
        ];
        let one = |job: &Value| {
            let mut stub = super::stub(job, &fields);
            stub["Status"] = state.job_status(text(job, "Namespace"), text(job, "ID")).into();
            stub["JobSummary"] = summary(state, job);
            stub["Periodic"] = false.into();
            stub["ParameterizedJob"] = false.into();
            stub
        };
        Some(seen.map(one).collect())
    };
    asked.read("jobs", read, "")
}

fn part(asked: &Asked, id: &str, what: &str) -> Reply {
    let namespace = asked.namespace();
    if let Some(refused) = asked.refused(namespace, "read-job") {
        return refused;
    }
    let of = |one: &&Value| text(one, "JobID") == id && text(one, "Namespace") == namespace;
    match what {
        "allocations" => {
            let read = |state: &State| {
                // Newest first.
                Some(state.allocs_of(namespace, id).into_iter().rev().map(short).collect())
            };
            asked.read("allocs", read, "")
        }
        "evaluations" => asked.read(
            "evals",
            |state| Some(sorted(state.evals.values().filter(of)).into_iter().cloned().collect()),
            "",
        ),
        "deployments" => asked.read(
            "deployment",
            |state| Some(sorted(state.deployments.values().filter(of)).into_iter().cloned().collect()),
            "",
        ),
        "deployment" => asked.read(
            "deployment",
            |state| Some(state.deployment_of(namespace, id).cloned().unwrap_or(Value::Null)),
            "",
        ),
        "versions" => {
            let read = |state: &State| shown(state, namespace, id).map(|job| json!({"Versions": [job], "Diffs": null}));
            asked.read("jobs", read, "job versions not found")
        }
        _ => asked.read(
            "jobs",
            |state| state.jobs.get(&key(namespace, id)).map(|job| summary(state, job)),
            "job not found",
        ),
    }
}

/// The job of a request's body, with its defaults.
fn taken(asked: &Asked, path: Option<&str>) -> Result<Value, Reply> {
    let body = asked.body().map_err(|error| Reply::text(400, error))?;
    let mut job = body["Job"].clone();
    if !job.is_object() {
        return Err(Reply::text(400, "Job must be specified"));
    }
    if text(&job, "ID").is_empty() {
        return Err(Reply::text(400, "Job ID hasn't been provided"));
    }
    if path.is_some_and(|path| path != text(&job, "ID")) {
        return Err(Reply::text(400, "Job ID does not match name"));
    }
    validate::durations(&job).map_err(|error| Reply::text(400, error))?;
    canonical::job(&mut job, &asked.world.config.region, asked.namespace());
    Ok(job)
}

/// What admission refuses.
fn admitted(asked: &Asked, job: &Value) -> Result<(), String> {
    let (id, namespace) = (text(job, "ID"), text(job, "Namespace"));
    let known = asked.world.read(|state| state.namespaces.get(namespace).cloned());
    let Some(known) = known else {
        return Err(validate::list(&[format!("job {id:?} is in nonexistent namespace {namespace:?}")]));
    };
    let capabilities = &known["Capabilities"];
    let names = |key: &str| -> Vec<&str> {
        capabilities[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let (enabled, disabled) = (names("EnabledTaskDrivers"), names("DisabledTaskDrivers"));
    let groups = job["TaskGroups"].as_array().into_iter().flatten();
    let tasks = groups.flat_map(|group| group["Tasks"].as_array().into_iter().flatten());
    let mut banned: Vec<String> = tasks
        .map(|task| text(task, "Driver"))
        .filter(|driver| disabled.contains(driver) || (!enabled.is_empty() && !enabled.contains(driver)))
        .map(|driver| format!("{driver:?}"))
        .collect();
    banned.sort();
    banned.dedup();
    match banned.as_slice() {
        [] => validate::job(job),
        [one] => Err(validate::list(&[format!("used task driver {one} is not allowed in namespace {namespace:?}")])),
        many => {
            let many = many.join(" ");
            Err(validate::list(&[format!("used task drivers [{many}] are not allowed in namespace {namespace:?}")]))
        }
    }
}

fn check(asked: &Asked) -> Reply {
    let job = match taken(asked, None) {
        Ok(job) => job,
        Err(reply) => return reply,
    };
    let error = validate::job(&job).err().unwrap_or_default();
    Reply::json(&json!({"DriverConfigValidated": true, "Error": error, "ValidationErrors": null, "Warnings": ""}))
}

fn submit(asked: &Asked, path: Option<&str>) -> Reply {
    let mut job = match taken(asked, path) {
        Ok(job) => job,
        Err(reply) => return reply,
    };
    if let Err(error) = admitted(asked, &job) {
        return Reply::text(500, error);
    }
    let (id, namespace) = (text(&job, "ID").to_owned(), text(&job, "Namespace").to_owned());
    if !asked.rights.may(&namespace, "submit-job") {
        return denied();
    }
    let body = asked.body().unwrap_or_default();
    asked.world.change(|state| {
        let old = state.jobs.get(&key(&namespace, &id)).cloned();
        if body["EnforceIndex"] == true {
            let wanted = body["JobModifyIndex"].as_u64().unwrap_or(0);
            let have = old.as_ref().map_or(0, |job| job["JobModifyIndex"].as_u64().unwrap_or(0));
            if let Some(error) = enforced(wanted, have) {
                return Reply::text(500, format!("Enforcing job modify index {wanted}: {error}"));
            }
        }
        let accessor = state.tokens.values().find(|token| token["SecretID"] == *asked.secret);
        job["NomadTokenID"] = accessor.map_or(json!(""), |token| token["AccessorID"].clone());
        let mut modified = old.as_ref().map_or(Value::Null, |old| old["JobModifyIndex"].clone());
        let index = state.next("evals");
        if !old.as_ref().is_some_and(|old| canonical::same(old, &job)) {
            state.changed.insert("jobs".to_owned(), index);
            let before = |field: &str| old.as_ref().map(|old| old[field].clone());
            job["CreateIndex"] = before("CreateIndex").unwrap_or_else(|| index.into());
            job["Version"] =
                before("Version").and_then(|version| version.as_u64()).map_or(0, |version| version + 1).into();
            job["JobModifyIndex"] = index.into();
            job["ModifyIndex"] = index.into();
            job["Status"] = "pending".into();
            job["SubmitTime"] = clock::now().into();
            modified = index.into();
            state.jobs.insert(key(&namespace, &id), job.clone());
        }
        let eval = state.evaluate_at(index, &namespace, &id, "job-register");
        let answer = json!({"EvalID": eval, "EvalCreateIndex": index, "JobModifyIndex": modified, "Warnings": "",
            "Index": index, "KnownLeader": false, "LastContact": 0, "NextToken": ""});
        written(index, Some(&answer))
    })
}

/// Why a write that names the index it wants to change may not happen.
fn enforced(wanted: u64, have: u64) -> Option<String> {
    match (wanted, have) {
        (0, 0) => None,
        (0, _) => Some("job already exists".into()),
        (_, 0) => Some("job does not exist".into()),
        (wanted, have) if wanted == have => None,
        (_, have) => Some(format!("job exists with conflicting job modify index: {have}")),
    }
}

fn stop(asked: &Asked, id: &str) -> Reply {
    let namespace = asked.namespace().to_owned();
    if let Some(refused) = asked.refused(&namespace, "submit-job") {
        return refused;
    }
    let purge = asked.request.asked("purge").is_some_and(|purge| purge == "true" || purge == "1");
    asked.world.change(|state| {
        let index = state.next("jobs");
        let key = key(&namespace, id);
        if purge {
            state.jobs.remove(&key);
        } else if let Some(job) = state.jobs.get_mut(&key) {
            job["Stop"] = true.into();
            job["ModifyIndex"] = index.into();
            job["JobModifyIndex"] = index.into();
            job["Version"] = (job["Version"].as_u64().unwrap_or(0) + 1).into();
        }
        let eval = state.evaluate_at(index, &namespace, id, "job-deregister");
        let answer = json!({"EvalID": eval, "EvalCreateIndex": index, "JobModifyIndex": index, "Index": index,
            "KnownLeader": false, "LastContact": 0, "NextToken": "", "VolumeEvalID": "", "VolumeEvalIndex": 0});
        written(index, Some(&answer))
    })
}
