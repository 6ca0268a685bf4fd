//! What Nomad refuses in a job, in its words.
//! May not change a job: it has its defaults already.

use serde_json::Value;

use crate::clock::words;

/// A list of errors as Go's multierror prints it.
pub fn list(errors: &[String]) -> String {
    let head =
        if errors.len() == 1 { "1 error occurred:".to_owned() } else { format!("{} errors occurred:", errors.len()) };
    errors.iter().fold(head, |text, error| text + "\n\t* " + error) + "\n\n"
}

/// Durations are whole numbers of nanoseconds; Go reads nothing else.
pub fn durations(job: &Value) -> Result<(), String> {
    const NAMES: &[&str] = &[
        "MinHealthyTime",
        "HealthyDeadline",
        "ProgressDeadline",
        "Stagger",
        "Delay",
        "MaxDelay",
        "Interval",
        "Timeout",
        "KillTimeout",
        "ShutdownDelay",
        "Grace",
    ];
    match job {
        Value::Array(list) => list.iter().try_for_each(durations),
        Value::Object(map) => map.iter().try_for_each(|(key, value)| {
            if NAMES.contains(&key.as_str()) && !value.is_null() && value.as_i64().is_none() {
                let kind = if value.is_string() { "string" } else { "value" };
                return Err(format!("json: cannot unmarshal {kind} into Go struct field .{key} of type time.Duration"));
            }
            // What a driver or an environment makes of its keys is its own affair.
            if matches!(key.as_str(), "Config" | "Env" | "Meta") { Ok(()) } else { durations(value) }
        }),
        _ => Ok(()),
    }
}

/// What is wrong with a job.
pub fn job(job: &Value) -> Result<(), String> {
    let mut errors = Vec::new();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if text(&job["ID"]).contains(' ') {
        errors.push("Job ID contains a space".to_owned());
    }
    let kind = text(&job["Type"]);
    if !["service", "batch", "system", "sysbatch"].contains(&kind.as_str()) {
        errors.push(format!("Invalid job type: {kind:?}"));
    }
    if !(1..=100).contains(&job["Priority"].as_i64().unwrap_or(0)) {
        errors.push("Job priority must be between [1, 100]".to_owned());
    }
    if job["Datacenters"].as_array().is_none_or(Vec::is_empty) {
        errors.push("Missing job datacenters".to_owned());
    }
    let groups: Vec<&Value> = job["TaskGroups"].as_array().into_iter().flatten().collect();
    if groups.is_empty() {
        errors.push("Missing job task groups".to_owned());
    }
    for one in groups {
        let name = text(&one["Name"]);
        if name.is_empty() {
            errors.push("Job task group 1 missing name".to_owned());
        }
        let wrong = group(one, &kind);
        if !wrong.is_empty() {
            errors.push(format!("Task group {name} validation failed: {}", list(&wrong)));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(list(&errors)) }
}

fn group(group: &Value, kind: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let tasks: Vec<&Value> = group["Tasks"].as_array().into_iter().flatten().collect();
    if tasks.is_empty() {
        errors.push("Missing tasks for task group".to_owned());
    }
    wrap(&mut errors, "", &restart(&group["RestartPolicy"]));
    if group["Update"].is_object() {
        if !["service", "system"].contains(&kind) {
            errors.push(format!("Job type {kind:?} does not allow update block"));
        }
        wrap(&mut errors, "", &update(&group["Update"]));
    }
    wrap(&mut errors, "Task group network validation failed: ", &networks(group));
    wrap(&mut errors, "Task group service validation failed: ", &services(group));
    for (at, task) in tasks.iter().enumerate() {
        let name = task["Name"].as_str().unwrap_or_default();
        let mut wrong = Vec::new();
        if name.is_empty() {
            errors.push(format!("Task {} missing name", at + 1));
            wrong.push("Missing task name".to_owned());
        }
        if name.contains(['/', '\\']) {
            wrong.push("Task name cannot include slashes".to_owned());
        }
        if task["Driver"].as_str().unwrap_or_default().is_empty() {
            wrong.push("Missing task driver".to_owned());
        }
        wrong.extend(services(task));
        wrap(&mut errors, &format!("Task {name} validation failed: "), &wrong);
    }
    errors
}

fn wrap(errors: &mut Vec<String>, head: &str, wrong: &[String]) {
    if !wrong.is_empty() {
        errors.push(format!("{head}{}", list(wrong)));
    }
}

fn restart(policy: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let number = |key: &str| policy[key].as_i64().unwrap_or(0);
    let mode = policy["Mode"].as_str().unwrap_or_default();
    if !["delay", "fail"].contains(&mode) {
        errors.push(format!("Unsupported restart mode: {mode:?}"));
    }
    if number("Attempts") == 0 && mode != "fail" {
        errors.push(format!("Restart policy {mode:?} with 0 attempts is ambiguous"));
    }
    let (attempts, interval, delay) = (number("Attempts"), number("Interval"), number("Delay"));
    if interval < 5_000_000_000 {
        errors.push(format!("Interval can not be less than 5s (got {})", words(interval)));
    }
    if attempts.saturating_mul(delay) > interval {
        let (interval, delay) = (words(interval), words(delay));
        errors.push(format!(
            "Nomad can't restart the TaskGroup {attempts} times in an interval of {interval} with a delay of {delay}"
        ));
    }
    errors
}

fn update(update: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let number = |key: &str| update[key].as_i64().unwrap_or(0);
    let check = update["HealthCheck"].as_str().unwrap_or_default();
    if !["checks", "task_states", "manual"].contains(&check) {
        errors.push(format!("Invalid health check given: {check:?}"));
    }
    let (healthy, deadline, progress) =
        (number("MinHealthyTime"), number("HealthyDeadline"), number("ProgressDeadline"));
    if deadline <= 0 {
        errors.push(format!("Healthy deadline must be greater than zero: {}", words(deadline)));
    }
    if healthy >= deadline {
        let (healthy, deadline) = (words(healthy), words(deadline));
        errors.push(format!("Minimum healthy time must be less than healthy deadline: {healthy} > {deadline}"));
    }
    if progress != 0 && deadline >= progress {
        let (deadline, progress) = (words(deadline), words(progress));
        errors.push(format!("Healthy deadline must be less than progress deadline: {deadline} > {progress}"));
    }
    errors
}

fn networks(group: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let mut labels: Vec<String> = Vec::new();
    for network in group["Networks"].as_array().into_iter().flatten() {
        for key in ["ReservedPorts", "DynamicPorts"] {
            for port in network[key].as_array().into_iter().flatten() {
                let label = port["Label"].as_str().unwrap_or_default().to_owned();
                if labels.contains(&label) {
                    errors.push(format!("Port label {label} already in use by taskgroup network"));
                }
                labels.push(label);
            }
        }
    }
    errors
}

fn services(of: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    for (at, service) in of["Services"].as_array().into_iter().flatten().enumerate() {
        let name = service["Name"].as_str().unwrap_or_default();
        let mut wrong = Vec::new();
        let provider = service["Provider"].as_str().unwrap_or_default();
        if !["consul", "nomad"].contains(&provider) {
            wrong.push(format!("Service provider must be \"consul\", or \"nomad\" (not {provider:?})"));
        }
        for check in service["Checks"].as_array().into_iter().flatten() {
            if let Some(error) = checked(check) {
                wrong.push(format!("Check {} invalid: {error}", check_name(check, name)));
            }
        }
        wrap(&mut errors, &format!("Service[{at}] {name} validation failed: "), &wrong);
    }
    errors
}

/// What Nomad calls a check that has no name.
pub fn check_name(check: &Value, service: &str) -> String {
    match check["Name"].as_str().unwrap_or_default() {
        "" => format!("service: {service:?} check"),
        name => name.to_owned(),
    }
}

fn checked(check: &Value) -> Option<String> {
    let kind = check["Type"].as_str().unwrap_or_default();
    match kind {
        "http" if check["Path"].as_str().unwrap_or_default().is_empty() => {
            return Some("http type must have http path".into());
        }
        "script" if check["Command"].as_str().unwrap_or_default().is_empty() => {
            return Some("script type must have a valid script path".into());
        }
        "tcp" | "grpc" | "http" | "script" => {}
        _ => return Some(format!("invalid type (+{kind:?}), must be one of \"http\", \"tcp\", or \"script\" type")),
    }
    let short = |key: &str, name: &str| {
        let value = check[key].as_i64().unwrap_or(0);
        match value {
            0 => Some(format!("missing required value {name}. {} cannot be less than 1s", capital(name))),
            value if value < 1_000_000_000 => {
                Some(format!("{name} ({}) is lower than required minimum 1s", words(value)))
            }
            _ => None,
        }
    };
    short("Timeout", "timeout").or_else(|| short("Interval", "interval"))
}

fn capital(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::canonical;
    use super::*;

    fn wrong(value: &Value) -> String {
        let mut value = value.clone();
        canonical::job(&mut value, "global", "default");
        job(&value).unwrap_err()
    }

    fn with(group: &Value) -> Value {
        let mut all = json!({"Name": "g", "Tasks": [{"Name": "t", "Driver": "raw_exec"}]});
        all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
        json!({"ID": "a", "Datacenters": ["dc1"], "TaskGroups": [all]})
    }

    #[test]
    fn errors_are_printed_as_nomad_prints_them() {
        let empty = "2 errors occurred:\n\t* Missing job datacenters\n\t* Missing job task groups\n\n";
        assert_eq!(wrong(&json!({"ID": "x"})), empty);
        let twice = json!({"Networks": [{"DynamicPorts": [{"Label": "http"}], "ReservedPorts": [{"Label": "http", "Value": 80}]}]});
        let expected = "1 error occurred:\n\t* Task group a validation failed: 1 error occurred:\n\t* Task group network \
                        validation failed: 1 error occurred:\n\t* Port label http already in use by taskgroup network\n\n\n\n\n\n";
        assert_eq!(wrong(&with(&twice)).replace("group g", "group a"), expected);
    }

    #[test]
    fn deadlines_and_checks_must_make_sense() {
        let late = json!({"Update": {"HealthyDeadline": 20_000_000_000_i64, "ProgressDeadline": 10_000_000_000_i64}});
        assert!(wrong(&with(&late)).contains("Healthy deadline must be less than progress deadline: 20s > 10s"));
        let check = json!({"Services": [{"Name": "s", "Checks": [{"Type": "http", "Interval": 1_000_000_000_i64}]}]});
        assert!(wrong(&with(&check)).contains("Check service: \"s\" check invalid: http type must have http path"));
        let restart = json!({"RestartPolicy": {"Attempts": 10, "Interval": 5_000_000_000_i64, "Delay": 1_000_000_000}});
        assert!(wrong(&with(&restart)).contains("Nomad can't restart the TaskGroup 10 times"));
    }

    #[test]
    fn durations_are_numbers() {
        assert_eq!(durations(&json!({"KillTimeout": 5, "Env": {"Delay": "x"}})), Ok(()));
        assert!(durations(&json!([{"KillTimeout": "5s"}])).unwrap_err().contains("time.Duration"));
    }
}
