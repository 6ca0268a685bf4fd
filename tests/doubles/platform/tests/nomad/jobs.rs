//! Jobs that do well.

use serde_json::{Value, json};

use super::agent::{Agent, SECOND, job, port};

fn ports(label: &str) -> Value {
    json!([{"DynamicPorts": [{"Label": label}]}])
}

fn service() -> Value {
    json!({"Networks": ports("http"), "Services": [{"Name": "web", "PortLabel": "http", "Tags": ["traefik.enable=true", "at=${NOMAD_ADDR_http}"],
        "Checks": [{"Name": "alive", "Type": "tcp", "Interval": SECOND, "Timeout": SECOND}]}]})
}

#[test]
fn a_job_becomes_healthy_when_its_checks_pass_and_is_known_to_consul() {
    let agent = Agent::start();
    agent.consul.pass(false);
    let answer = agent.submit(&job("web", "/bin/sleep", &["1000"], &service(), &json!({})));
    agent.until("the task runs", |agent| {
        agent.allocs("web").first().is_some_and(|alloc| alloc["ClientStatus"] == "running")
    });
    agent.until("consul has the service", |agent| agent.consul.service("web").is_some());
    assert_eq!(agent.deployment("web")["Status"], "running");
    agent.consul.pass(true);
    agent.until("the deployment is over", |agent| agent.deployment("web")["Status"] == "successful");
    let alloc = &agent.allocs("web")[0];
    assert_eq!(alloc["DeploymentStatus"]["Healthy"], true);
    let events: Vec<&str> = alloc["TaskStates"]["t"]["Events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["Type"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["Received", "Task Setup", "Started"]);
    let eval = agent.get(&format!("/v1/evaluation/{}", answer["EvalID"].as_str().unwrap())).json();
    assert_eq!((&eval["Status"], &eval["FailedTGAllocs"]), (&json!("complete"), &Value::Null));
    let service = agent.consul.service("web").unwrap();
    let whole = agent.get(&format!("/v1/allocation/{}", alloc["ID"].as_str().unwrap())).json();
    let given = &whole["AllocatedResources"]["Shared"]["Ports"][0];
    assert_eq!((&service["Port"], &service["Address"]), (&given["Value"], &given["HostIP"]));
    let mut tags: Vec<&str> = service["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap()).collect();
    tags.sort_unstable();
    assert_eq!(tags, [format!("at=127.0.0.1:{}", given["Value"]).as_str(), "traefik.enable=true"]);
    assert_eq!(agent.ask("DELETE", "/v1/job/web", super::agent::MANAGEMENT, None).status, 200);
    agent.until("consul has it no more", |agent| agent.consul.service("web").is_none());
    agent.until("the task is over", |agent| agent.allocs("web")[0]["ClientStatus"] == "complete");
    assert_eq!(agent.get("/v1/job/web").json()["Status"], "dead");
}

#[test]
fn a_task_has_its_variables_its_arguments_and_its_log() {
    let agent = Agent::start();
    let script = "echo arguments $0 $1; env; echo late >&2; exec sleep 1000";
    let task = json!({"Env": {"MINE": "at ${NOMAD_PORT_http} on ${node.datacenter} ${NOPE}"}});
    agent.submit(&job(
        "env",
        "/bin/sh",
        &["-c", script, "${NOMAD_ADDR_http}", "${NOMAD_TASK_DIR}"],
        &json!({"Networks": ports("http")}),
        &task,
    ));
    agent.until("the task has said all", |agent| {
        agent.allocs("env").first().is_some_and(|alloc| alloc["ClientStatus"] == "running")
            && agent.log("env", "stderr") == "late\n"
    });
    let log = agent.log("env", "stdout");
    let alloc = agent.allocs("env")[0]["ID"].as_str().unwrap().to_owned();
    let line = |start: &str| {
        log.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{start} in {log}")).to_owned()
    };
    let port = line("NOMAD_PORT_http=");
    assert_eq!(line("MINE="), format!("at {port} on dc1 ${{NOPE}}"));
    assert_eq!(line("NOMAD_ADDR_http="), format!("127.0.0.1:{port}"));
    let task_dir = line("NOMAD_TASK_DIR=");
    assert!(task_dir.ends_with(&format!("/alloc/{alloc}/t/local")), "{task_dir}");
    assert_eq!(line("arguments "), format!("127.0.0.1:{port} {task_dir}"));
    assert_eq!((line("NOMAD_JOB_ID=").as_str(), line("NOMAD_GROUP_NAME=").as_str()), ("env", "g"));
    assert!(!log.contains("CONSUL_HTTP_TOKEN"), "{log}");
    let end = agent.get(&format!("/v1/client/fs/logs/{alloc}?task=t&type=stderr&plain=true&origin=end&offset=3"));
    assert_eq!(end.text, "te\n");
    let framed = agent.get(&format!("/v1/client/fs/logs/{alloc}?task=t&type=stderr")).json();
    assert_eq!((&framed["Data"], &framed["File"]), (&json!("bGF0ZQo="), &json!("alloc/logs/t.stderr.0")));
    let unknown = agent.get(&format!("/v1/client/fs/logs/{alloc}?task=u&type=stderr&plain=true"));
    assert!(unknown.status >= 400 && unknown.text.contains("unknown task name \"u\""), "{}", unknown.text);
}

#[test]
fn a_new_version_takes_the_place_and_the_port_of_the_old() {
    let agent = Agent::start();
    let network = json!({"Networks": [{"ReservedPorts": [{"Label": "http", "Value": port()}]}]});
    let version = |seconds: &str| job("moved", "/bin/sleep", &[seconds], &network, &json!({}));
    agent.submit(&version("1000"));
    agent.until("the first is well", |agent| agent.deployment("moved")["Status"] == "successful");
    let index = agent.get("/v1/job/moved").json()["JobModifyIndex"].clone();
    // What this answers differs: 1.4 gives the job's index, 2.0 the evaluation's.
    agent.submit(&version("1000"));
    assert_eq!(agent.get("/v1/job/moved").json()["JobModifyIndex"], index);
    assert_eq!(agent.get("/v1/job/moved").json()["Version"], 0);
    agent.submit(&version("1001"));
    agent.until("the second is well", |agent| {
        let deployment = agent.deployment("moved");
        deployment["JobVersion"] == 1 && deployment["Status"] == "successful"
    });
    let allocs = agent.allocs("moved");
    assert_eq!(allocs.len(), 2);
    let (new, old) = if allocs[0]["JobVersion"] == 1 { (&allocs[0], &allocs[1]) } else { (&allocs[1], &allocs[0]) };
    assert_eq!((&new["ClientStatus"], &old["ClientStatus"]), (&json!("running"), &json!("complete")));
    assert_eq!(old["DesiredDescription"], "alloc is being updated due to job update");
}

#[test]
fn what_runs_goes_on_while_the_agent_is_started_anew() {
    let mut agent = Agent::start();
    agent.submit(&job("kept", "/bin/sh", &["-c", "echo $$; exec sleep 1000"], &json!({}), &json!({})));
    agent.until("it is well", |agent| agent.deployment("kept")["Status"] == "successful");
    let before = (agent.allocs("kept")[0]["ID"].clone(), agent.log("kept", "stdout"));
    agent.restart();
    agent.until("the node is ready", |agent| agent.get("/v1/nodes").json()[0]["Status"] == "ready");
    agent.until("it is there", |agent| {
        agent.allocs("kept").first().is_some_and(|alloc| alloc["ClientStatus"] == "running")
    });
    let alloc = &agent.allocs("kept")[0];
    assert_eq!((alloc["ID"].clone(), agent.log("kept", "stdout")), before);
    assert_eq!(alloc["TaskStates"]["t"]["Restarts"], 0);
    assert_eq!(agent.get("/v1/acl/token/self").status, 200);
    assert_eq!(agent.ask("DELETE", "/v1/job/kept", super::agent::MANAGEMENT, None).status, 200);
    agent.until("it can still be stopped", |agent| agent.allocs("kept")[0]["ClientStatus"] == "complete");
}

#[test]
fn a_task_that_does_not_heed_its_signal_is_killed_when_its_time_is_over() {
    let agent = Agent::start();
    let script = "trap 'echo heard' TERM; while :; do sleep 0.1; done";
    let task = json!({"KillSignal": "SIGTERM", "KillTimeout": SECOND});
    agent.submit(&job("deaf", "/bin/sh", &["-c", script], &json!({}), &task));
    agent
        .until("it runs", |agent| agent.allocs("deaf").first().is_some_and(|alloc| alloc["ClientStatus"] == "running"));
    std::thread::sleep(std::time::Duration::from_millis(300)); // the shell's trap has no other sign
    agent.ask("DELETE", "/v1/job/deaf", super::agent::MANAGEMENT, None);
    agent.until("it is over", |agent| agent.allocs("deaf")[0]["ClientStatus"] == "complete");
    let alloc = &agent.allocs("deaf")[0];
    let said: Vec<&str> = alloc["TaskStates"]["t"]["Events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["DisplayMessage"].as_str().unwrap())
        .collect();
    let killing = said.iter().position(|said| *said == "Sent interrupt. Waiting 1s before force killing");
    assert!(killing.is_some(), "{said:?}");
    assert_eq!(said[killing.unwrap() + 1..], ["Exit Code: 137, Signal: 9", "Task successfully killed"]);
    assert!(agent.log("deaf", "stdout").starts_with("heard\n"));
}
