//! Failed allocations that are tried again: which, when, and what a new one knows of those before it.
//! May not place one: it leaves an evaluation for that.

use serde_json::{Value, json};

use super::runner::group;
use super::state::{State, ended, key, text};
use crate::clock;

/// Nomad's words on an allocation that is tried again elsewhere.
const RESCHEDULED: &str = "alloc was rescheduled because it failed";

/// Whether a failed allocation is to be tried once more and nothing has been done about it yet.
pub fn followed(state: &State, alloc: &Value) -> bool {
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
    let policy = &group(alloc)["ReschedulePolicy"];
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
    let policy = &group(alloc)["ReschedulePolicy"];
    let (base, limit) = (policy["Delay"].as_i64().unwrap_or(0), policy["MaxDelay"].as_i64().unwrap_or(i64::MAX));
    let tried = alloc["RescheduleTracker"]["Events"].as_array().map_or(0, Vec::len);
    match text(policy, "DelayFunction") {
        "constant" => base,
        _ => base.saturating_mul(1 << tried.min(30)).min(limit),
    }
}

/// Replaces failed allocations whose time has come, and notes the time of the others.
pub fn follow(state: &mut State) {
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

/// The failed allocation of this name that still has to be replaced.
pub fn given_up(state: &State, namespace: &str, job: &str, name: &str) -> Option<Value> {
    let all = state.allocs_of(namespace, job);
    let last = all.into_iter().rfind(|alloc| text(alloc, "Name") == name)?;
    let waits = text(last, "DesiredDescription") == RESCHEDULED && text(last, "NextAllocation").is_empty();
    waits.then(|| last.clone())
}

/// What a replacement knows of those before it.
pub fn tracked(previous: &Value, now: i64) -> Value {
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
