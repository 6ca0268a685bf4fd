//! An agent of one's own for a test, and how it is asked.
//! May not leave anything behind: jobs, processes, mounts and folders go with it.

use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use doubles::{http, id};
use serde_json::{Value, json};

use super::consul::Consul;

/// The secret its ACL is bootstrapped with.
pub const MANAGEMENT: &str = "11111111-2222-3333-4444-555555555555";
/// A nanosecond times this is a second.
pub const SECOND: i64 = 1_000_000_000;

/// A running agent.
pub struct Agent {
    pub consul: Consul,
    folder: PathBuf,
    base: String,
    child: Child,
}

/// Status and body.
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {} {}", self.status, self.text))
    }
}

impl Agent {
    /// One with a leader and the management token.
    pub fn start() -> Self {
        let agent = Self::with(&json!({}));
        agent.leads();
        let answer = agent.ask("POST", "/v1/acl/bootstrap", "", Some(&json!({"BootstrapSecret": MANAGEMENT})));
        assert_eq!(answer.status, 200, "{}", answer.text);
        // A node that is not ready yet would make evaluations blocked.
        agent.until("the node is ready", |agent| {
            let nodes = agent.get("/v1/nodes").json();
            nodes[0]["Status"] == "ready"
        });
        agent
    }

    /// One with more in its configuration; nothing is awaited but that it answers.
    pub fn with(more: &Value) -> Self {
        let consul = Consul::start();
        let folder = std::env::temp_dir().join(format!("nomad-suite-{}", id::make()));
        std::fs::create_dir(&folder).unwrap();
        let (http, rpc, serf) = (port(), port(), port());
        let here = json!({"http": "127.0.0.1", "rpc": "127.0.0.1", "serf": "127.0.0.1"});
        let mut config = json!({"data_dir": folder.join("data"), "bind_addr": "127.0.0.1", "addresses": here, "advertise": here,
            "ports": {"http": http, "rpc": rpc, "serf": serf}, "server": {"enabled": true, "bootstrap_expect": 1},
            "client": {"enabled": true, "network_interface": "lo", "host_network": [{"four": {"cidr": "127.0.0.0/8"}}, {"default": {"cidr": "127.0.0.0/8"}}], "options": {"fingerprint.denylist": "env_aws,env_gce,env_azure,env_digitalocean"}},
            "acl": {"enabled": true}, "disable_update_check": true,
            "consul": {"address": consul.address.to_string()}, "plugin": [{"raw_exec": [{"config": [{"enabled": true}]}]}]});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        std::fs::write(folder.join("agent.json"), config.to_string()).unwrap();
        let child = spawn(&folder);
        let agent = Self { consul, folder, base: format!("http://127.0.0.1:{http}"), child };
        agent.until("the agent answers", |agent| agent.try_ask("GET", "/v1/regions", "", None).is_ok());
        agent
    }

    /// Waits for a leader.
    pub fn leads(&self) {
        self.until("there is a leader", |agent| agent.ask("GET", "/v1/status/leader", "", None).status == 200);
    }

    /// Stops it as an operator does, and starts it on the same data.
    pub fn restart(&mut self) {
        interrupt(&self.child);
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "an interrupted agent says so");
        self.child = spawn(&self.folder);
        self.until("the agent answers", |agent| agent.try_ask("GET", "/v1/regions", "", None).is_ok());
        self.leads();
    }

    fn try_ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Result<Answer, String> {
        let header = [("X-Nomad-Token", token)];
        let headers = if token.is_empty() { &header[..0] } else { &header[..] };
        let (status, bytes) = http::ask(method, &format!("{}{path}", self.base), headers, body)?;
        Ok(Answer { status, text: String::from_utf8(bytes).unwrap() })
    }

    /// Asks with a token, or none.
    pub fn ask(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
        // A leaderless agent thinks for five seconds, as long as the client waits.
        self.try_ask(method, path, token, body).unwrap_or_else(|error| Answer { status: 0, text: error })
    }

    /// Asks with the management token.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, MANAGEMENT, None)
    }

    /// Writes with the management token.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, MANAGEMENT, Some(body))
    }

    /// A token of policies that may do this.
    pub fn token(&self, name: &str, rules: &str) -> String {
        assert_eq!(self.post(&format!("/v1/acl/policy/{name}"), &json!({"Name": name, "Rules": rules})).status, 200);
        let token = self.post("/v1/acl/token", &json!({"Name": name, "Type": "client", "Policies": [name]})).json();
        token["SecretID"].as_str().unwrap().to_owned()
    }

    /// Submits a job, which must be taken.
    pub fn submit(&self, job: &Value) -> Value {
        let answer = self.post("/v1/jobs", job);
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    /// Waits, at most half a minute, until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(40);
        while !so(self) {
            assert!(Instant::now() < end, "waited in vain until {what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// A job's allocations, newest first.
    pub fn allocs(&self, job: &str) -> Vec<Value> {
        self.get(&format!("/v1/job/{job}/allocations")).json().as_array().cloned().unwrap_or_default()
    }

    /// A job's deployment.
    pub fn deployment(&self, job: &str) -> Value {
        self.get(&format!("/v1/job/{job}/deployment")).json()
    }

    /// A log of a job's newest allocation's task `t`.
    pub fn log(&self, job: &str, stream: &str) -> String {
        let allocs = self.allocs(job);
        let alloc = allocs[0]["ID"].as_str().unwrap();
        self.get(&format!("/v1/client/fs/logs/{alloc}?task=t&type={stream}&plain=true")).text
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let jobs = self.try_ask("GET", "/v1/jobs?namespace=*", MANAGEMENT, None);
        let jobs: Vec<Value> = jobs.ok().and_then(|answer| serde_json::from_str(&answer.text).ok()).unwrap_or_default();
        for job in &jobs {
            let (name, namespace) =
                (job["ID"].as_str().unwrap_or_default(), job["Namespace"].as_str().unwrap_or_default());
            let _ = self.try_ask("DELETE", &format!("/v1/job/{name}?namespace={namespace}"), MANAGEMENT, None);
        }
        let end = Instant::now() + Duration::from_secs(10);
        while !jobs.is_empty() && Instant::now() < end {
            let allocs = self.try_ask("GET", "/v1/allocations?namespace=*", MANAGEMENT, None);
            let allocs: Vec<Value> = allocs.ok().and_then(|a| serde_json::from_str(&a.text).ok()).unwrap_or_default();
            if allocs.iter().all(|alloc| alloc["ClientStatus"] != "running") {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        interrupt(&self.child);
        let _ = self.child.wait();
        // A real agent that was started anew leaves behind who wrote the logs.
        for process in holders(&self.folder) {
            let _ = nix::sys::signal::kill(process, nix::sys::signal::SIGKILL);
        }
        // It also mounts a folder of each task.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        for mount in mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(1))
            .filter(|path| path.starts_with(self.folder.to_str().unwrap()))
        {
            let _ = Command::new("umount").args(["-l", mount]).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Processes that have a file of a folder open.
fn holders(folder: &std::path::Path) -> Vec<nix::unistd::Pid> {
    let own = i32::try_from(std::process::id()).unwrap();
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()).filter(|pid| *pid != own);
    let holds = |pid: &i32| {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|file| file.starts_with(folder))
    };
    pids.filter(holds).map(nix::unistd::Pid::from_raw).collect()
}

fn interrupt(child: &Child) {
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap()),
        nix::sys::signal::SIGINT,
    );
}

fn spawn(folder: &std::path::Path) -> Child {
    let program = std::env::var_os("ANYMETAL_REAL_NOMAD").unwrap_or_else(|| env!("CARGO_BIN_EXE_nomad-double").into());
    let log = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(program)
        .arg("agent")
        .arg(format!("-config={}", folder.join("agent.json").display()))
        .env_clear()
        .envs([
            ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"),
            ("HOME", "/root"),
            ("CONSUL_HTTP_TOKEN", "hidden"),
        ])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A port that is free, for TCP and UDP, and is not one the kernel gives to whoever connects.
pub fn port() -> u16 {
    loop {
        let port = fastrand::u16(12_000..19_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A service job of one group `g` with one task `t`, and what else is said of its group and task.
pub fn job(name: &str, command: &str, arguments: &[&str], group: &Value, task: &Value) -> Value {
    let mut one = json!({"Name": "t", "Driver": "raw_exec", "Config": {"command": command, "args": arguments}});
    one.as_object_mut().unwrap().extend(task.as_object().unwrap().clone());
    let mut all = json!({"Name": "g", "Tasks": [one],
        "Update": {"MinHealthyTime": SECOND, "HealthyDeadline": 6 * SECOND, "ProgressDeadline": 8 * SECOND},
        "RestartPolicy": {"Attempts": 1, "Interval": 60 * SECOND, "Delay": SECOND, "Mode": "fail"},
        "ReschedulePolicy": {"Attempts": 0, "Unlimited": false}});
    all.as_object_mut().unwrap().extend(group.as_object().unwrap().clone());
    json!({"Job": {"ID": name, "Datacenters": ["dc1"], "TaskGroups": [all]}})
}
