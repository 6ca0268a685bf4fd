//! What happens to a task, in the form of Nomad's API.
//! May not decide what happens.

use serde_json::{Map, Value, json};

use crate::clock::words;

/// Nomad keeps this many of a task's events.
pub const KEPT: usize = 10;

/// Something that happens to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happens {
    Received,
    Setup,
    Started,
    DriverFailure(String),
    Terminated { code: i32, signal: i32 },
    Restarting { reason: String, delay: i64 },
    NotRestarting { reason: String, fails: bool },
    Killing { timeout: i64 },
    Killed,
    SiblingFailed(String),
    HookFailed(String),
    RestoreFailed,
    Unhealthy(String),
}

/// The document of an event.
pub fn event(happens: &Happens, now: i64) -> Value {
    let mut all = json!({"Type": "", "Time": now, "DisplayMessage": "", "Details": {}, "Message": "", "DiskLimit": 0,
        "DownloadError": "", "DriverError": "", "DriverMessage": "", "ExitCode": 0, "FailedSibling": "",
        "FailsTask": false, "GenericSource": "", "KillError": "", "KillReason": "", "KillTimeout": 0,
        "RestartReason": "", "SetupError": "", "Signal": 0, "StartDelay": 0, "TaskSignal": "", "TaskSignalReason": "",
        "ValidationError": "", "VaultError": ""});
    let (kind, message, own) = parts(happens);
    all["Type"] = kind.into();
    all["DisplayMessage"] = message.into();
    let mut details = Map::new();
    for (name, value, detail) in own {
        if let Some(detail) = detail {
            details.insert(detail.to_owned(), value.as_str().map_or_else(|| value.to_string(), str::to_owned).into());
        }
        if !name.is_empty() {
            all[name] = value;
        }
    }
    all["Details"] = details.into();
    all
}

/// Fields of an event: name, value, and the name among its details.
type Own = Vec<(&'static str, Value, Option<&'static str>)>;

fn parts(happens: &Happens) -> (&'static str, String, Own) {
    let said = |text: &str| vec![("Message", Value::from(text), Some("message"))];
    match happens {
        Happens::Received => ("Received", "Task received by client".into(), Vec::new()),
        Happens::Setup => ("Task Setup", "Building Task Directory".into(), said("Building Task Directory")),
        Happens::Started => ("Started", "Task started by client".into(), Vec::new()),
        Happens::DriverFailure(error) => {
            ("Driver Failure", error.clone(), vec![("DriverError", error.clone().into(), Some("driver_error"))])
        }
        Happens::Terminated { code, signal } => {
            let message = match signal {
                0 => format!("Exit Code: {code}"),
                signal => format!("Exit Code: {code}, Signal: {signal}"),
            };
            let own = vec![
                ("ExitCode", (*code).into(), Some("exit_code")),
                ("Signal", (*signal).into(), Some("signal")),
                ("", "false".into(), Some("oom_killed")),
            ];
            ("Terminated", message, own)
        }
        Happens::Restarting { reason, delay } => {
            let tail = format!("Task restarting in {}", words(*delay));
            let message = if reason == "Restart within policy" { tail } else { format!("{reason} - {tail}") };
            let own = vec![
                ("RestartReason", reason.clone().into(), Some("restart_reason")),
                ("StartDelay", (*delay).into(), Some("start_delay")),
            ];
            ("Restarting", message, own)
        }
        Happens::NotRestarting { reason, fails } => {
            let mut own = vec![("RestartReason", Value::from(reason.clone()), Some("restart_reason"))];
            own.push(("FailsTask", (*fails).into(), fails.then_some("fails_task")));
            ("Not Restarting", reason.clone(), own)
        }
        Happens::Killing { timeout } => {
            let timeout_words = words(*timeout);
            let message = format!("Sent interrupt. Waiting {timeout_words} before force killing");
            let own = vec![("KillTimeout", (*timeout).into(), None), ("", timeout_words.into(), Some("kill_timeout"))];
            ("Killing", message, own)
        }
        Happens::Killed => ("Killed", "Task successfully killed".into(), Vec::new()),
        Happens::SiblingFailed(task) => (
            "Sibling Task Failed",
            format!("Task's sibling {task:?} failed"),
            vec![("FailedSibling", task.clone().into(), Some("failed_sibling"))],
        ),
        Happens::RestoreFailed => {
            let message = "failed to restore task; will not run until server is contacted";
            ("Failed Restoring Task", message.into(), Vec::new())
        }
        Happens::HookFailed(why) => ("Task hook failed", why.clone(), said(why)),
        Happens::Unhealthy(why) => ("Alloc Unhealthy", why.clone(), said(why)),
    }
}

/// A task's state before anything happened.
pub fn pending() -> Value {
    json!({"State": "pending", "Failed": false, "Restarts": 0, "LastRestart": null, "StartedAt": null,
        "FinishedAt": null, "TaskHandle": null, "Events": []})
}

/// Adds an event to a task's state, forgetting the oldest.
pub fn add(state: &mut Value, event: Value) {
    if let Some(events) = state["Events"].as_array_mut() {
        events.push(event);
        let excess = events.len().saturating_sub(KEPT);
        events.drain(..excess);
    }
}

/// What an allocation is, by its tasks: its client status and that in words.
pub fn client_status(states: &Map<String, Value>) -> (&'static str, &'static str) {
    let any = |state: &str| states.values().any(|task| task["State"] == state);
    if states.values().any(|task| task["State"] == "dead" && task["Failed"] == true) {
        return ("failed", "Failed tasks");
    }
    if any("running") {
        return ("running", "Tasks are running");
    }
    if states.is_empty() || any("pending") {
        return ("pending", "No tasks have started");
    }
    ("complete", "All tasks have completed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_say_what_nomad_says() {
        let killed = event(&Happens::Terminated { code: 137, signal: 9 }, 1);
        assert_eq!(killed["DisplayMessage"], "Exit Code: 137, Signal: 9");
        assert_eq!(killed["Details"], json!({"exit_code": "137", "signal": "9", "oom_killed": "false"}));
        let again = event(&Happens::Restarting { reason: "Restart within policy".into(), delay: 1_187_901_581 }, 1);
        assert_eq!(again["DisplayMessage"], "Task restarting in 1.187901581s");
        let late =
            Happens::Restarting { reason: "Exceeded allowed attempts, applying a delay".into(), delay: 59_000_000_000 };
        let late = event(&late, 1);
        assert_eq!(late["DisplayMessage"], "Exceeded allowed attempts, applying a delay - Task restarting in 59s");
        let kill = event(&Happens::Killing { timeout: 5_000_000_000 }, 1);
        assert_eq!(kill["DisplayMessage"], "Sent interrupt. Waiting 5s before force killing");
        assert_eq!(kill["Details"], json!({"kill_timeout": "5s"}));
    }

    #[test]
    fn only_the_last_events_are_kept() {
        let mut state = pending();
        for time in 0..12 {
            add(&mut state, event(&Happens::Started, time));
        }
        assert_eq!(state["Events"].as_array().unwrap().len(), KEPT);
        assert_eq!(state["Events"][0]["Time"], 2);
    }

    #[test]
    fn a_failed_task_outweighs_running_ones() {
        let of = |tasks: Value| client_status(tasks.as_object().unwrap()).0;
        assert_eq!(of(json!({"a": {"State": "running"}, "b": {"State": "dead", "Failed": true}})), "failed");
        assert_eq!(of(json!({"a": {"State": "running"}, "b": {"State": "dead", "Failed": false}})), "running");
        assert_eq!(of(json!({"a": {"State": "pending"}})), "pending");
        assert_eq!(of(json!({"a": {"State": "dead", "Failed": false}})), "complete");
    }
}
