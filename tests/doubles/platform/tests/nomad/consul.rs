//! A stand-in for Consul's agent API: it takes services and checks, and says of checks what the suite wants.
//! May not check anything.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use doubles::http::{self, Answer, Reply, Request};
use serde_json::{Value, json};

/// One of them.
pub struct Consul {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    services: Mutex<BTreeMap<String, Value>>,
    checks: Mutex<BTreeMap<String, Value>>,
    pass: AtomicBool,
}

impl Consul {
    /// One that says all checks pass.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { pass: AtomicBool::new(true), ..State::default() });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let answer: Arc<Answer> = Arc::new(move |request: &Request| shared.answer(request));
            http::serve(listener, &answer)
        });
        Self { address, state }
    }

    /// From now on checks pass, or do not.
    pub fn pass(&self, pass: bool) {
        self.state.pass.store(pass, Ordering::SeqCst);
    }

    /// The service of this name, when it is registered.
    pub fn service(&self, name: &str) -> Option<Value> {
        self.state.services.lock().unwrap().values().find(|service| service["Service"] == name).cloned()
    }
}

impl State {
    fn answer(&self, request: &Request) -> Reply {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let path = request.path.as_str();
        match path {
            "/v1/agent/self" => Reply::json(&json!({
                "Config": {"Datacenter": "dc1", "NodeName": "n", "Server": true, "Version": "1.13.3", "Revision": "0"},
                "DebugConfig": {"GRPCPort": -1}, "Stats": {}, "Member": {}, "Meta": {}})),
            "/v1/status/leader" => Reply::json(&"127.0.0.1:8300".into()),
            "/v1/agent/services" => Reply::json(&json!(*self.services.lock().unwrap())),
            "/v1/agent/checks" => {
                let status = if self.pass.load(Ordering::SeqCst) { "passing" } else { "critical" };
                let mut checks = self.checks.lock().unwrap().clone();
                for check in checks.values_mut() {
                    check["Status"] = status.into();
                }
                Reply::json(&json!(checks))
            }
            "/v1/agent/service/register" => {
                let id = body["ID"].as_str().unwrap_or_default().to_owned();
                for check in body["Checks"].as_array().into_iter().flatten() {
                    self.check(check, &id);
                }
                let service = json!({"ID": id, "Service": body["Name"], "Tags": body["Tags"], "Address": body["Address"],
                    "Port": body["Port"], "Meta": body["Meta"], "EnableTagOverride": false});
                self.services.lock().unwrap().insert(id, service);
                Reply::empty(200)
            }
            "/v1/agent/check/register" => {
                self.check(&body, body["ServiceID"].as_str().unwrap_or_default());
                Reply::empty(200)
            }
            _ if path.starts_with("/v1/agent/service/deregister/") => {
                let id = path.rsplit('/').next().unwrap_or_default();
                self.services.lock().unwrap().remove(id);
                self.checks.lock().unwrap().retain(|_, check| check["ServiceID"] != id);
                Reply::empty(200)
            }
            _ if path.starts_with("/v1/agent/check/deregister/") => {
                self.checks.lock().unwrap().remove(path.rsplit('/').next().unwrap_or_default());
                Reply::empty(200)
            }
            _ => Reply::text(404, "not here"),
        }
    }

    fn check(&self, check: &Value, service: &str) {
        let own = check["CheckID"].as_str().or(check["ID"].as_str());
        let id = own.unwrap_or(service).to_owned();
        let known = json!({"CheckID": id, "Name": check["Name"], "ServiceID": service, "Node": "n"});
        self.checks.lock().unwrap().insert(id, known);
    }
}
