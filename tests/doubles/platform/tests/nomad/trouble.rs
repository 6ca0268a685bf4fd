//! Jobs that do not do well, and an agent that has no leader.

use serde_json::{Value, json};

use super::agent::{Agent, SECOND, job, port};

fn said(agent: &Agent, job: &str) -> Vec<String> {
    let alloc = &agent.allocs(job)[0];
    let events = alloc["TaskStates"]["t"]["Events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|event| event["DisplayMessage"].as_str().unwrap().to_owned()).collect()
}

fn failed(agent: &Agent, job: &str) {
    agent.until("the allocation failed", |agent| {
        agent.allocs(job).first().is_some_and(|alloc| alloc["ClientStatus"] == "failed")
    });
}

/// The evaluation that waits, and why.
fn blocked(agent: &Agent, job: &str) -> Value {
    let find = |agent: &Agent| {
        let evals = agent.get(&format!("/v1/job/{job}/evaluations")).json();
        evals.as_array().unwrap().iter().find(|eval| eval["Status"] == "blocked").cloned()
    };
    agent.until("an evaluation is blocked", |agent| find(agent).is_some());
    find(agent).unwrap()["FailedTGAllocs"]["g"].clone()
}

#[test]
fn a_command_that_is_not_there_fails_at_once() {
    let agent = Agent::start();
    agent.submit(&job("none", "/no/such", &[], &json!({}), &json!({})));
    failed(&agent, "none");
    let said = said(&agent, "none");
    assert!(said.iter().any(|said| said.contains("\"/no/such\"")), "{said:?}");
    assert!(said.contains(&"Error was unrecoverable".to_owned()), "{said:?}");
}

#[test]
fn a_crash_is_tried_again_as_the_policy_says_and_leaves_its_log() {
    let agent = Agent::start();
    agent.submit(&job("crash", "/bin/sh", &["-c", "echo why >&2; exit 3"], &json!({}), &json!({})));
    failed(&agent, "crash");
    let said = said(&agent, "crash");
    assert_eq!(said.iter().filter(|said| *said == "Exit Code: 3").count(), 2, "{said:?}");
    let over = "Exceeded allowed attempts 1 in interval 1m0s and mode is \"fail\"".to_owned();
    assert!(said.contains(&over), "{said:?}");
    assert_eq!(agent.log("crash", "stderr"), "why\nwhy\n");
    agent.until("the deployment failed", |agent| agent.deployment("crash")["Status"] == "failed");
    // 1.4 waits for the deadline whatever happens; 2.0 sees that nothing more will come.
    let words = agent.deployment("crash")["StatusDescription"].clone();
    let known = ["Failed due to progress deadline", "Failed due to unhealthy allocations"];
    assert!(known.contains(&words.as_str().unwrap()), "{words}");
}

#[test]
fn checks_that_never_pass_end_at_the_deadlines() {
    let agent = Agent::start();
    agent.consul.pass(false);
    let group = json!({"Networks": [{"DynamicPorts": [{"Label": "http"}]}], "Services": [{"Name": "ill", "PortLabel": "http",
        "Checks": [{"Name": "alive", "Type": "tcp", "Interval": SECOND, "Timeout": SECOND}]}]});
    agent.submit(&job("ill", "/bin/sleep", &["1000"], &group, &json!({})));
    agent.until("the deployment failed", |agent| agent.deployment("ill")["Status"] == "failed");
    let alloc = &agent.allocs("ill")[0];
    assert_eq!((&alloc["DeploymentStatus"]["Healthy"], &alloc["ClientStatus"]), (&json!(false), &json!("running")));
}

#[test]
fn what_has_no_place_says_why_and_takes_it_when_it_comes_free() {
    let agent = Agent::start();
    let lost = json!({"Networks": [{"DynamicPorts": [{"Label": "http", "HostNetwork": "nonet"}]}]});
    agent.submit(&job("lost", "/bin/sleep", &["1000"], &lost, &json!({})));
    let why = blocked(&agent, "lost");
    assert_eq!(why["ConstraintFiltered"], json!({"missing host network \"nonet\" for port \"http\"": 1}));
    // To 2.0 a job whose evaluation waits is running.
    let status = agent.get("/v1/job/lost").json()["Status"].clone();
    assert!(status == "pending" || status == "running", "{status}");
    agent.submit(&job("odd", "/bin/sleep", &["1000"], &json!({}), &json!({"Driver": "nosuch"})));
    assert_eq!(blocked(&agent, "odd")["ConstraintFiltered"], json!({"missing drivers": 1}));
    let port = port();
    // A network of one address: since 1.7 an address named here is one of `default` besides, and a port that is taken on one address of a
    // network goes to its next.
    let taken = json!({"Networks": [{"ReservedPorts": [{"Label": "http", "Value": port, "HostNetwork": "four"}]}]});
    agent.submit(&job("first", "/bin/sleep", &["1000"], &taken, &json!({})));
    agent.until("the first runs", |agent| {
        agent.allocs("first").first().is_some_and(|alloc| alloc["ClientStatus"] == "running")
    });
    agent.submit(&job("second", "/bin/sleep", &["1000"], &taken, &json!({})));
    let why = blocked(&agent, "second");
    assert_eq!(why["DimensionExhausted"], json!({format!("network: reserved port collision http={port}"): 1}));
    agent.ask("DELETE", "/v1/job/first", super::agent::MANAGEMENT, None);
    agent.until("the second runs", |agent| {
        agent.allocs("second").first().is_some_and(|alloc| alloc["ClientStatus"] == "running")
    });
}

#[test]
fn a_failed_allocation_is_replaced_when_the_policy_says_so() {
    let agent = Agent::start();
    let group = json!({"ReschedulePolicy": {"Attempts": 1, "Interval": 3_600 * SECOND, "Delay": 5 * SECOND, "DelayFunction": "constant",
        "Unlimited": false}, "RestartPolicy": {"Attempts": 0, "Interval": 60 * SECOND, "Delay": SECOND, "Mode": "fail"}});
    agent.submit(&job("again", "/bin/false", &[], &group, &json!({})));
    agent.until("a second one failed too", |agent| {
        let allocs = agent.allocs("again");
        allocs.len() == 2 && allocs.iter().all(|alloc| alloc["ClientStatus"] == "failed")
    });
}

#[test]
fn without_a_leader_the_api_says_so() {
    let agent = Agent::with(&json!({"server": {"enabled": true, "bootstrap_expect": 3}}));
    agent.until("the agent has thought about it", |agent| {
        let answer = agent.ask("GET", "/v1/agent/health?type=client", "", None);
        answer.status == 200
    });
    // The agent thinks for five seconds; the client of this suite may be tired before that.
    let answer = agent.ask("GET", "/v1/status/leader", "", None);
    assert!(
        answer.status == 0 || (answer.status == 500 && answer.text == "No cluster leader"),
        "{} {}",
        answer.status,
        answer.text
    );
}

#[test]
fn a_job_that_makes_no_sense_is_refused() {
    let agent = Agent::start();
    let refused = |job: &Value, words: &str| {
        let answer = agent.post("/v1/jobs", job);
        assert!(answer.status >= 400 && answer.text.contains(words), "{} {}", answer.status, answer.text);
    };
    refused(&json!({}), "Job must be specified");
    refused(&json!({"Job": {}}), "Job ID hasn't been provided");
    refused(&json!({"Job": {"ID": "x"}}), "Missing job task groups");
    let late = json!({"Update": {"HealthyDeadline": 20 * SECOND, "ProgressDeadline": 10 * SECOND}});
    refused(&job("a", "/bin/true", &[], &late, &json!({})), "Healthy deadline must be less than progress deadline");
    refused(&job("a", "/bin/true", &[], &json!({}), &json!({"KillTimeout": "5s"})), "time.Duration");
}

#[test]
fn told_to_the_double_loses_its_race_at_the_first_start_and_not_at_the_second() {
    if std::env::var_os("ANYMETAL_REAL_NOMAD").is_some() {
        return;
    }
    let data = std::env::temp_dir().join(format!("nomad-ways-{}", doubles::id::make()));
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("ways.json"), r#"{"registration_race": true, "bootstrap_race": 500}"#).unwrap();
    let mut agent = Agent::with(&json!({"data_dir": data}));
    agent.leads();
    let secret = json!({"BootstrapSecret": super::agent::MANAGEMENT});
    let answer = agent.ask("POST", "/v1/acl/bootstrap", "", Some(&secret));
    assert_eq!((answer.status, answer.text.as_str()), (500, "ACL bootstrap already done"));
    let nodes = |agent: &Agent| agent.get("/v1/nodes").json().as_array().unwrap().len();
    assert_eq!(nodes(&agent), 0, "the token works, and the node is not registered");
    agent.restart();
    assert_eq!(nodes(&agent), 1, "it has keys at its second start");
    std::fs::remove_dir_all(&data).unwrap();
}

#[test]
fn without_a_leader_a_stale_answer_comes_at_once() {
    let agent = Agent::with(&json!({"server": {"enabled": true, "bootstrap_expect": 3}}));
    let answer = agent.ask("GET", "/v1/status/leader?stale", "", None);
    assert_eq!((answer.status, answer.text.trim()), (200, "\"\""));
}
