//! Nomad on the node: with the configuration a node has, and one task after the other.
//! May not know which Nomad it is.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::world::{World, double, golden};

/// Limits against hanging, not measures.
const LIMIT: Duration = Duration::from_mins(2);
const TOKEN: &str = "2b778dd9-f5f1-6f29-b4b4-9a5fa948757a";
/// Where an application's program lies within its chroot.
const PROGRAM: &str = "/opt/anymetal/spin/current/hostile-tenant";

pub struct Nomad<'a> {
    world: &'a World,
    agent: Child,
    data: PathBuf,
    real: bool,
}

impl<'a> Nomad<'a> {
    /// Starts it with the configuration of a node, changed so, and waits until it takes jobs.
    pub fn start(world: &'a World, change: impl FnOnce(&mut Value)) -> Self {
        let folder = world.folder.path();
        let (data, spin) = (folder.join("nomad"), folder.join("spin"));
        let mut config: Value = serde_json::from_slice(&fs::read(golden("nomad.json")).unwrap()).unwrap();
        config["data_dir"] = json!(data);
        // Certificates are another suite's, and Consul is nobody here.
        config.as_object_mut().unwrap().remove("tls");
        config["consul"] = json!({"address": "127.0.0.1:1"});
        config["advertise"]["http"] = json!("127.0.0.1");
        // The ports that a tenant must not reach belong to the suite, which sees whether it does.
        config["ports"] = json!({"rpc": 34_647, "serf": 34_648});
        let rpc = config["addresses"]["rpc"].as_str().or(config["bind_addr"].as_str()).unwrap().to_owned();
        config["client"]["servers"] = json!([format!("{rpc}:34647")]);
        let chroot = config["client"]["chroot_env"].as_object_mut().unwrap();
        let program =
            chroot.iter().find(|(_, inside)| *inside == "/opt/anymetal/spin/current").map(|(host, _)| host.clone());
        chroot.remove(&program.expect("Spin is in the chroot"));
        chroot.remove("/etc/hosts");
        chroot.insert(spin.display().to_string(), json!("/opt/anymetal/spin/current"));
        chroot.insert(folder.join("hosts").display().to_string(), json!("/etc/hosts"));
        change(&mut config);
        let file = folder.join("nomad.json");
        fs::write(&file, config.to_string()).unwrap();
        fs::create_dir_all(&spin).unwrap();
        fs::copy(double("hostile-tenant"), spin.join("hostile-tenant")).unwrap();
        let real = std::env::var_os("ANYMETAL_REAL_NOMAD");
        let program = real.clone().map_or_else(|| double("nomad-double"), PathBuf::from);
        let log = fs::File::create(folder.join("nomad.log")).unwrap();
        let agent = world
            .command(false, r#"exec "$0" agent -config="$1""#)
            .arg(program)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let nomad = Self { world, agent, data, real: real.is_some() };
        nomad.until("it has a token", |nomad| {
            let asked = nomad.ask("PUT", "/v1/acl/bootstrap", &json!({"BootstrapSecret": TOKEN}));
            asked.is_some_and(|answer| answer.contains("SecretID"))
        });
        nomad.until("it is ready", |nomad| {
            nomad.ask("GET", "/v1/nodes", &Value::Null).is_some_and(|answer| answer.contains(r#""Status":"ready""#))
        });
        nomad
    }

    pub fn which(&self) -> &'static str {
        if self.real { "Nomad is real" } else { "Nomad is a double" }
    }

    /// Runs the hostile tenant to its end. Returns what it said.
    pub fn run(&self, name: &str, attempts: &[&str]) -> String {
        let task = json!({"Name": "t", "Driver": "exec", "Config": {"command": PROGRAM, "args": attempts},
            "Resources": {"CPU": 50, "MemoryMB": 64}});
        let job = json!({"ID": name, "Name": name, "Type": "batch", "Datacenters": ["dc1"], "TaskGroups": [{"Name": "g", "Count": 1,
            "RestartPolicy": {"Attempts": 0, "Mode": "fail"}, "ReschedulePolicy": {"Attempts": 0, "Unlimited": false}, "Tasks": [task]}]});
        let asked = self.ask("PUT", "/v1/jobs", &json!({"Job": job})).unwrap();
        assert!(asked.contains("EvalID"), "{asked}");
        let mut said = String::new();
        self.until("the tenant has tried everything", |nomad| {
            said = nomad.log(name);
            said.ends_with("that was all\n")
        });
        said
    }

    fn log(&self, job: &str) -> String {
        let Some(allocs) = self.ask("GET", &format!("/v1/job/{job}/allocations"), &Value::Null) else {
            return String::new();
        };
        let body: Value = serde_json::from_str(allocs.split("\r\n\r\n").nth(1).unwrap_or_default()).unwrap_or_default();
        let alloc = body[0]["ID"].as_str().unwrap_or_default();
        let logs = self.data.join("alloc").join(alloc).join("alloc/logs");
        let failed = body[0]["ClientStatus"] == "failed";
        let said = || fs::read_to_string(logs.join("t.stderr.0")).unwrap_or_default();
        assert!(!failed, "the task failed: {}\n{body:#}", said());
        fs::read_to_string(logs.join("t.stdout.0")).unwrap_or_default()
    }

    /// One request from the node itself, by root. Nothing when there is no answer.
    fn ask(&self, method: &str, path: &str, body: &Value) -> Option<String> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:4646\r\nX-Nomad-Token: {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.world.topology.node.inside(|| {
            let mut stream = TcpStream::connect("127.0.0.1:4646").ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer)
        })
    }

    fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let limit = Instant::now() + LIMIT;
        while !holds(self) {
            if Instant::now() > limit {
                let log = fs::read_to_string(self.world.folder.path().join("nomad.log")).unwrap_or_default();
                let last: Vec<_> = log.lines().rev().take(30).collect();
                panic!("it never came that {what}; its last lines, the latest first:\n{}", last.join("\n"));
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Nomad<'_> {
    /// Everything it started goes with it: it is the first of its processes.
    fn drop(&mut self) {
        let _already_gone = self.agent.kill();
        let _reaped = self.agent.wait();
    }
}
