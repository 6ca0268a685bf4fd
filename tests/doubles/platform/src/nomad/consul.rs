//! Services in Consul's catalogue: those of allocations that run, and Nomad's own; with the agent's token.
//! May not judge health: it brings home what Consul says of checks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::environment::{self, Names};
use super::runner::group;
use super::state::{ended, text};
use super::validate;
use super::world::World;
use crate::http;

/// What Nomad's own and its tasks' services are called at the front.
const OURS: &[&str] = &["_nomad-task-", "_nomad-server-", "_nomad-client-"];

/// What has gone wrong last, to say it once.
#[derive(Debug, Default)]
pub struct Sync {
    said: String,
}

impl Sync {
    /// Makes the catalogue say what is so, and brings home what it says of checks.
    pub fn tick(&mut self, world: &World) {
        match sync(world) {
            Ok(changed) => {
                let first = !world.consul.swap(true, Ordering::SeqCst);
                if changed || first {
                    world.wake();
                }
                self.said.clear();
            }
            Err(error) => {
                if self.said != error {
                    world.log("WARN", &format!("consul.sync: failed to update services in Consul: error={error:?}"));
                }
                self.said = error;
            }
        }
    }
}

/// The ids of the checks an allocation's health depends on.
pub fn checks_of(alloc: &Value) -> Vec<String> {
    let services = wanted(alloc, &Names::new());
    let checks = services.iter().flat_map(|service| service["Checks"].as_array().cloned().unwrap_or_default());
    checks.map(|check| text(&check, "CheckID").to_owned()).collect()
}

fn sync(world: &World) -> Result<bool, String> {
    let names = world.names();
    let allocs: Vec<Value> = world.read(|state| {
        let live = |alloc: &&Value| {
            text(alloc, "DesiredStatus") == "run"
                && !ended(alloc)
                && !text(alloc, "ClientStatus").is_empty()
                && alloc["TaskStates"].as_object().is_some_and(|tasks| !tasks.is_empty())
        };
        state.allocs.values().filter(live).cloned().collect()
    });
    let mut services: Vec<Value> = allocs.iter().flat_map(|alloc| wanted(alloc, &names)).collect();
    if world.config.consul.auto_advertise {
        services.extend(own(world));
    }
    let wanted: BTreeMap<String, Value> = services.into_iter().map(|one| (text(&one, "ID").to_owned(), one)).collect();
    let there = ask(world, "GET", "/v1/agent/services", None)?;
    let there: BTreeSet<String> = there.as_object().into_iter().flat_map(|map| map.keys().cloned()).collect();
    let mut changed = false;
    for (id, service) in &wanted {
        if !there.contains(id) {
            ask(world, "PUT", "/v1/agent/service/register", Some(service))?;
            changed = true;
        }
    }
    for id in there.iter().filter(|id| OURS.iter().any(|front| id.starts_with(front)) && !wanted.contains_key(*id)) {
        ask(world, "PUT", &format!("/v1/agent/service/deregister/{id}"), None)?;
        changed = true;
    }
    let said = ask(world, "GET", "/v1/agent/checks", None)?;
    let checks: BTreeMap<String, String> = said
        .as_object()
        .into_iter()
        .flatten()
        .map(|(id, check)| (id.clone(), text(check, "Status").to_owned()))
        .collect();
    if let Ok(mut known) = world.checks.lock() {
        changed = changed || *known != checks;
        *known = checks;
    }
    Ok(changed)
}

fn ask(world: &World, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
    let consul = &world.config.consul;
    let scheme = if consul.ssl { "https" } else { "http" };
    let base =
        if consul.address.contains("://") { consul.address.clone() } else { format!("{scheme}://{}", consul.address) };
    let token = consul.token.as_deref().map(|token| ("X-Consul-Token", token));
    let headers: Vec<(&str, &str)> = token.into_iter().collect();
    let (status, answer) = http::ask_by(consul.ca.as_deref(), method, &format!("{base}{path}"), &headers, body)?;
    if status != 200 {
        return Err(format!("Unexpected response code: {status} ({})", String::from_utf8_lossy(&answer).trim()));
    }
    Ok(serde_json::from_slice(&answer).unwrap_or(Value::Null))
}

/// The services of an allocation, as Consul's API takes them.
fn wanted(alloc: &Value, node: &Names) -> Vec<Value> {
    let group = group(alloc);
    let mut services = Vec::new();
    let shared = group["Services"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|service| (format!("group-{}", text(&group, "Name")), service, None));
    let tasks: Vec<&Value> = group["Tasks"].as_array().into_iter().flatten().collect();
    let own = tasks.iter().flat_map(|task| {
        let list = task["Services"].as_array().into_iter().flatten();
        list.map(|service| (text(task, "Name").to_owned(), service, Some(*task)))
    });
    for (owner, service, task) in shared.chain(own) {
        if text(service, "Provider") != "consul" {
            continue;
        }
        if let Some(task) = task
            && alloc["TaskStates"][text(task, "Name")]["State"] != "running"
        {
            continue;
        }
        let any = json!({"Name": "", "Resources": {}});
        let of = task.or(tasks.first().copied()).unwrap_or(&any);
        let variables = environment::variables(alloc, of, &environment::Folders::default(), node, &Names::new());
        services.push(registration(alloc, &owner, service, &[node, &variables]));
    }
    services
}

fn registration(alloc: &Value, owner: &str, service: &Value, names: &[&Names]) -> Value {
    let fill = |value: &Value| environment::replace(value.as_str().unwrap_or_default(), names);
    let name = fill(&service["Name"]);
    let label = text(service, "PortLabel");
    let id = format!("_nomad-task-{}-{owner}-{name}-{label}", text(alloc, "ID"));
    let tags: Vec<String> = service["Tags"].as_array().into_iter().flatten().map(fill).collect();
    let (ip, port) = address(alloc, label);
    let checks: Vec<Value> = service["Checks"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(at, check)| {
            let (ip, port) = match text(check, "PortLabel") {
                "" => (ip.clone(), port),
                label => address(alloc, label),
            };
            registered(
                check,
                &name,
                &format!("_nomad-check-{}", crate::id::of(format!("{id}-{at}").as_bytes())),
                &ip,
                port,
                names,
            )
        })
        .collect();
    json!({"ID": id, "Name": name, "Tags": tags, "Address": ip, "Port": port, "Checks": checks,
        "Meta": {"external-source": "nomad"}})
}

/// The address and port of a label, or the port that the label is.
fn address(alloc: &Value, label: &str) -> (String, u16) {
    let ports: Vec<&Value> = alloc["AllocatedResources"]["Shared"]["Ports"].as_array().into_iter().flatten().collect();
    let number = |port: &Value, key: &str| u16::try_from(port[key].as_u64().unwrap_or(0)).unwrap_or(0);
    if let Some(port) = ports.iter().find(|port| text(port, "Label") == label) {
        return (text(port, "HostIP").to_owned(), number(port, "Value"));
    }
    let ip = ports.first().map_or_else(String::new, |port| text(port, "HostIP").to_owned());
    (ip, label.parse().unwrap_or(0))
}

fn registered(check: &Value, service: &str, id: &str, ip: &str, port: u16, names: &[&Names]) -> Value {
    let fill = |value: &Value| environment::replace(value.as_str().unwrap_or_default(), names);
    let at = environment::join(if ip.is_empty() { "127.0.0.1" } else { ip }, &port.to_string());
    let nanoseconds = |key: &str| crate::clock::words(check[key].as_i64().unwrap_or(0));
    let name = match fill(&check["Name"]).as_str() {
        "" => validate::check_name(check, service),
        name => name.to_owned(),
    };
    let mut one = json!({"CheckID": id, "Name": name, "Interval": nanoseconds("Interval"), "Timeout": nanoseconds("Timeout"),
        "Status": match text(check, "InitialStatus") { "" => "critical", status => status },
        "SuccessBeforePassing": check["SuccessBeforePassing"], "FailuresBeforeCritical": check["FailuresBeforeCritical"]});
    match text(check, "Type") {
        "http" => {
            let protocol = match text(check, "Protocol") {
                "" => "http",
                protocol => protocol,
            };
            one["HTTP"] = format!("{protocol}://{at}{}", fill(&check["Path"])).into();
            one["Method"] = check["Method"].clone();
            one["Header"] = check["Header"].clone();
            one["TLSSkipVerify"] = check["TLSSkipVerify"].clone();
        }
        _ => one["TCP"] = at.into(),
    }
    one
}

/// Nomad's own services.
fn own(world: &World) -> Vec<Value> {
    let node = &world.node;
    let config = &world.config;
    let mut services = Vec::new();
    let mut add = |kind: &str, name: &str, tag: &str| {
        let advertised = config.advertised(tag).unwrap_or_default();
        let (ip, port) = advertised.rsplit_once(':').unwrap_or((&advertised, "0"));
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        let id = format!("_nomad-{kind}-{}", crate::id::of(format!("{node}-{kind}-{tag}").as_bytes()).replace('-', ""));
        let at = environment::join(
            &config.address(tag).to_string().replace("0.0.0.0", "127.0.0.1"),
            &config.port(tag).to_string(),
        );
        let mut check = json!({"CheckID": format!("_nomad-check-{}", crate::id::of(id.as_bytes())), "Interval": "10s", "Timeout": "5s",
            "Status": "passing", "Name": format!("Nomad {} Check", if tag == "http" { format!("{} HTTP", if kind == "server" { "Server" } else { "Client" }) } else { format!("Server {}", tag.to_uppercase()) })});
        if tag == "http" {
            let scheme = if config.tls.http { "https" } else { "http" };
            check["HTTP"] = format!("{scheme}://{at}/v1/agent/health?type={kind}").into();
            check["TLSSkipVerify"] = config.tls.http.into();
        } else {
            check["TCP"] = at.into();
        }
        services.push(
            json!({"ID": id, "Name": name, "Tags": [tag], "Address": ip, "Port": port.parse::<u16>().unwrap_or(0),
            "Checks": [check], "Meta": {"external-source": "nomad"}}),
        );
    };
    if config.server {
        for tag in ["http", "rpc", "serf"] {
            add("server", "nomad", tag);
        }
    }
    if config.client {
        add("client", "nomad-client", "http");
    }
    services
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_registered_with_its_address_its_tags_and_its_checks() {
        let alloc = json!({"ID": "a1", "Name": "web.g[0]", "TaskGroup": "g", "JobID": "web", "Namespace": "default",
            "AllocatedResources": {"Shared": {"Ports": [{"Label": "http", "HostIP": "10.0.0.2", "Value": 21000, "To": 0}]}},
            "TaskStates": {"t": {"State": "running"}},
            "Job": {"TaskGroups": [{"Name": "g", "Tasks": [{"Name": "t", "Resources": {}}], "Services": [{"Name": "web-${NOMAD_JOB_ID}",
                "PortLabel": "http", "Provider": "consul", "Tags": ["traefik.enable=true", "at=${NOMAD_ADDR_http}"],
                "Checks": [{"Name": "", "Type": "http", "Path": "/healthz", "Interval": 1_000_000_000, "Timeout": 2_000_000_000_i64}]}]}]}});
        let services = wanted(&alloc, &Names::new());
        assert_eq!(services.len(), 1);
        let web = &services[0];
        assert_eq!(web["ID"], "_nomad-task-a1-group-g-web-web-http");
        assert_eq!(web["Tags"], json!(["traefik.enable=true", "at=10.0.0.2:21000"]));
        assert_eq!((&web["Address"], &web["Port"]), (&json!("10.0.0.2"), &json!(21000)));
        assert_eq!(web["Checks"][0]["HTTP"], "http://10.0.0.2:21000/healthz");
        assert_eq!((&web["Checks"][0]["Interval"], &web["Checks"][0]["Status"]), (&json!("1s"), &json!("critical")));
        assert_eq!(checks_of(&alloc), [text(&web["Checks"][0], "CheckID")]);
    }
}
