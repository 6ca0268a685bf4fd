//! Where a job stands, from what Nomad tells of it. Pure.
//! May not ask Nomad.

use super::wire::{NomadAllocation, NomadDeployment, NomadEvaluation, NomadTask};

/// Kinds of events of a task that say why it is not up, newest last in Nomad's list.
const TELLING: [&str; 5] = ["Terminated", "Driver Failure", "Setup Failure", "Failed Validation", "Not Restarting"];

/// What Nomad tells of one version of a job.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    /// The version that was submitted.
    pub(super) version: u64,
    pub(super) deployment: Option<NomadDeployment>,
    pub(super) allocations: Vec<NomadAllocation>,
    pub(super) evaluations: Vec<NomadEvaluation>,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs, and its deployment, if there is one, has succeeded.
    Up,
    /// Not yet, and why.
    Coming(String),
    /// There is no place for it, and why. It may come later.
    Homeless(String),
    /// Its deployment has failed, and why.
    Failed(String),
}

/// Where the job stands.
pub(super) fn standing(told: &Told) -> Standing {
    let deployment = told.deployment.as_ref().filter(|deployment| deployment.job_version == told.version);
    let Some(allocation) = current(told) else {
        return match homeless(told) {
            Some(why) => Standing::Homeless(format!("there is no place for it: {why}")),
            None => Standing::Coming("waiting for a place".to_owned()),
        };
    };
    let trouble = trouble(allocation);
    if let Some(deployment) = deployment.filter(|deployment| deployment.status == "failed") {
        let why = trouble.unwrap_or_else(|| lower(&deployment.status_description));
        return Standing::Failed(format!("its deployment has failed: {why}"));
    }
    match (allocation.client_status.as_str(), trouble) {
        ("running", None) if deployment.is_none_or(|deployment| deployment.status == "successful") => Standing::Up,
        ("running", None) => Standing::Coming("its task runs, waiting for its checks to pass".to_owned()),
        (_, Some(trouble)) => Standing::Coming(trouble),
        ("pending", None) => Standing::Coming("its task is being started".to_owned()),
        (status, None) => {
            let said = lower(&allocation.client_description);
            Standing::Coming(format!("its allocation is {status}{}{said}", if said.is_empty() { "" } else { ": " }))
        }
    }
}

/// The allocation to look at: the latest that is meant to run, of the version that was submitted.
pub(super) fn current(told: &Told) -> Option<&NomadAllocation> {
    let of_this = |allocation: &&NomadAllocation| {
        allocation.job_version == told.version && matches!(allocation.desired_status.as_str(), "run" | "")
    };
    told.allocations.iter().filter(of_this).max_by_key(|allocation| allocation.create_index)
}

/// The task whose words tell most: one that is not running, else the first.
pub(super) fn telling_task(allocation: &NomadAllocation) -> Option<&str> {
    let tasks = allocation.task_states.as_ref()?;
    let down = tasks.iter().find(|(_, task)| task.state != "running" || task.restarts > 0);
    down.or(tasks.iter().next()).map(|(name, _)| name.as_str())
}

/// What keeps a task down, in words.
fn trouble(allocation: &NomadAllocation) -> Option<String> {
    allocation.task_states.iter().flatten().find_map(|(_, task)| trouble_of(task))
}

fn trouble_of(task: &NomadTask) -> Option<String> {
    if task.state == "running" {
        return None;
    }
    let events = task.events.as_deref().unwrap_or_default();
    let last = events.iter().rfind(|event| TELLING.contains(&event.kind.as_str()))?;
    let ended = match task.restarts {
        0 => "its task has ended".to_owned(),
        1 => "its task has ended and was restarted once".to_owned(),
        many => format!("its task has ended and was restarted {many} times"),
    };
    Some(format!("{ended}: {}", lower(&last.display_message.replace("Exit Code: ", "exit code "))))
}

/// Why the latest evaluation found no place.
fn homeless(told: &Told) -> Option<String> {
    let latest = told.evaluations.iter().max_by_key(|evaluation| evaluation.create_index)?;
    let blocked =
        told.evaluations.iter().filter(|evaluation| evaluation.failed.iter().any(|failed| !failed.is_empty()));
    let Some(failed) = blocked.max_by_key(|evaluation| evaluation.create_index) else {
        return (latest.status == "failed").then(|| lower(&latest.status_description));
    };
    let metrics = failed.failed.iter().flatten().map(|(_, metric)| metric);
    let reasons: Vec<String> = metrics
        .flat_map(|metric| {
            let filtered = metric.constraint_filtered.iter().flatten().map(|(what, _)| format!("no node fits {what}"));
            let exhausted = metric.dimension_exhausted.iter().flatten().map(|(what, _)| format!("not enough {what}"));
            let nobody = (metric.nodes_evaluated == 0).then(|| "no node was there to be looked at".to_owned());
            filtered.chain(exhausted).chain(nobody).collect::<Vec<_>>()
        })
        .collect();
    Some(if reasons.is_empty() { "Nomad does not say why".to_owned() } else { reasons.join(", ") })
}

/// Nomad's sentences as the end of one of ours.
fn lower(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    let mut letters = text.chars();
    let Some(first) = letters.next() else { return String::new() };
    let word_is_a_name = letters.clone().next().is_some_and(char::is_uppercase);
    if word_is_a_name { text.to_owned() } else { first.to_lowercase().chain(letters).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(deployment: &Value, allocations: &Value, evaluations: &Value) -> Told {
        Told {
            version: 3,
            deployment: serde_json::from_value(deployment.clone()).unwrap(),
            allocations: serde_json::from_value(allocations.clone()).unwrap(),
            evaluations: serde_json::from_value(evaluations.clone()).unwrap(),
        }
    }

    fn deployment(status: &str) -> Value {
        json!({"Status": status, "StatusDescription": "Failed due to progress deadline", "JobVersion": 3})
    }

    fn allocation(status: &str, state: &str, restarts: u64) -> Value {
        json!([{"ID": "a", "JobVersion": 3, "CreateIndex": 9, "DesiredStatus": "run", "ClientStatus": status,
            "TaskStates": {"hippo": {"State": state, "Restarts": restarts, "Events": [
                {"Type": "Received", "DisplayMessage": "Task received by client"},
                {"Type": "Terminated", "DisplayMessage": "Exit Code: 134"},
                {"Type": "Restarting", "DisplayMessage": "Task restarting in 5s"}]}}}])
    }

    #[test]
    fn a_job_stands_where_its_deployment_allocation_and_evaluations_say() {
        let coming = |why: &str| Standing::Coming(why.into());
        let nothing = json!([]);
        let filtered = json!([{"CreateIndex": 4, "Status": "complete", "FailedTGAllocs": {"g": {
            "NodesEvaluated": 1, "ConstraintFiltered": {"missing drivers": 1}}}}, {"CreateIndex": 5, "Status": "blocked"}]);
        let full = json!([{"CreateIndex": 4, "FailedTGAllocs": {"g": {"NodesEvaluated": 1, "DimensionExhausted": {"memory": 1}}}}]);
        let alone = json!([{"CreateIndex": 4, "FailedTGAllocs": {"g": {"NodesEvaluated": 0}}}]);
        for (deployment, allocations, evaluations, standing) in [
            (Value::Null, nothing.clone(), nothing.clone(), coming("waiting for a place")),
            (
                Value::Null,
                nothing.clone(),
                filtered,
                Standing::Homeless("there is no place for it: no node fits missing drivers".into()),
            ),
            (
                Value::Null,
                nothing.clone(),
                full,
                Standing::Homeless("there is no place for it: not enough memory".into()),
            ),
            (
                Value::Null,
                nothing.clone(),
                alone,
                Standing::Homeless("there is no place for it: no node was there to be looked at".into()),
            ),
            (
                deployment("running"),
                allocation("pending", "pending", 0),
                nothing.clone(),
                coming("its task has ended: exit code 134"),
            ),
            (
                deployment("running"),
                allocation("running", "running", 0),
                nothing.clone(),
                coming("its task runs, waiting for its checks to pass"),
            ),
            (deployment("successful"), allocation("running", "running", 2), nothing.clone(), Standing::Up),
            (Value::Null, allocation("running", "running", 0), nothing.clone(), Standing::Up),
            (
                deployment("running"),
                allocation("pending", "pending", 2),
                nothing.clone(),
                coming("its task has ended and was restarted 2 times: exit code 134"),
            ),
            (
                deployment("failed"),
                allocation("failed", "dead", 3),
                nothing.clone(),
                Standing::Failed(
                    "its deployment has failed: its task has ended and was restarted 3 times: exit code 134".into(),
                ),
            ),
            (
                deployment("failed"),
                allocation("running", "running", 0),
                nothing.clone(),
                Standing::Failed("its deployment has failed: failed due to progress deadline".into()),
            ),
        ] {
            let told = told(&deployment, &allocations, &evaluations);
            assert_eq!(super::standing(&told), standing, "{deployment} {allocations}");
        }
    }

    #[test]
    fn what_another_version_left_is_not_looked_at() {
        let mut told = told(&deployment("failed"), &allocation("running", "running", 0), &json!([]));
        told.version = 4;
        assert_eq!(standing(&told), Standing::Coming("waiting for a place".into()));
        assert_eq!(current(&told), None);
    }

    #[test]
    fn the_task_that_is_down_tells_most() {
        let allocation = |first: &str, second: &str| NomadAllocation {
            task_states: Some(
                [("a", first), ("b", second)]
                    .map(|(name, state)| (name.to_owned(), NomadTask { state: state.into(), ..NomadTask::default() }))
                    .into(),
            ),
            ..NomadAllocation::default()
        };
        assert_eq!(telling_task(&allocation("running", "dead")), Some("b"));
        assert_eq!(telling_task(&allocation("running", "running")), Some("a"));
        assert_eq!(telling_task(&NomadAllocation::default()), None);
    }
}
