//! Namespaces, nodes, allocations, evaluations and deployments.
//! May not change anything but namespaces.

use serde_json::{Value, json};

use super::{Asked, denied, invalid_method, malformed, stub, written};
use crate::http::Reply;
use crate::nomad::VERSION;
use crate::nomad::state::{State, hash, terminal, text};
use crate::nomad::validate::list;

/// What a list of allocations shows of one.
pub const ALLOC: &[&str] = &[
    "ClientDescription",
    "ClientStatus",
    "CreateIndex",
    "CreateTime",
    "DeploymentStatus",
    "DesiredDescription",
    "DesiredStatus",
    "DesiredTransition",
    "EvalID",
    "FollowupEvalID",
    "ID",
    "JobID",
    "JobVersion",
    "ModifyIndex",
    "ModifyTime",
    "Name",
    "Namespace",
    "NodeID",
    "NodeName",
    "PreemptedAllocations",
    "PreemptedByAllocation",
    "RescheduleTracker",
    "TaskGroup",
    "TaskStates",
];

/// As a list shows an allocation.
pub fn short(alloc: &Value) -> Value {
    let mut shown = stub(alloc, ALLOC);
    shown["JobType"] = alloc["Job"]["Type"].clone();
    shown
}

/// Newest last, by index.
pub fn sorted<'a>(documents: impl Iterator<Item = &'a Value>) -> Vec<&'a Value> {
    let mut all: Vec<&Value> = documents.collect();
    all.sort_by_key(|one| one["CreateIndex"].as_u64());
    all
}

/// `/v1/nodes`, `/v1/node/…`, `/v1/allocation…`, `/v1/evaluation…`, `/v1/deployment…`.
pub fn answer(asked: &Asked, parts: &[&str]) -> Reply {
    if !asked.is("GET") {
        let known = matches!(parts, ["nodes" | "allocations" | "evaluations" | "deployments", ..]);
        return if known { invalid_method() } else { Reply::empty(404) };
    }
    match parts {
        ["nodes"] => nodes(asked),
        ["node", node] => one_node(asked, node),
        ["agent", "members"] if asked.rights.reads("agent") => Reply::json(
            &json!({"ServerName": asked.world.name, "ServerRegion": "global", "ServerDC": "dc1", "Members": []}),
        ),
        ["agent", "members"] => denied(),
        ["allocations"] => all(asked, "allocs", |state| state.allocs.values().map(short).collect()),
        ["evaluations"] => all(asked, "evals", |state| state.evals.values().cloned().collect()),
        ["deployments"] => all(asked, "deployment", |state| state.deployments.values().cloned().collect()),
        ["allocation", id] => alloc(asked, id),
        ["evaluation", id] => one(asked, "evals", id, "failed to lookup eval: eval lookup failed: ", "eval not found"),
        ["deployment", id] => one(asked, "deployment", id, "deployment lookup failed: ", "deployment not found"),
        _ => Reply::empty(404),
    }
}

fn all(asked: &Asked, table: &str, documents: impl Fn(&State) -> Vec<Value>) -> Reply {
    let namespace = asked.namespace();
    if namespace != "*"
        && let Some(refused) = asked.refused(namespace, "read-job")
    {
        return refused;
    }
    let seen = |document: &Value| {
        let of = text(document, "Namespace");
        (namespace == "*" || of == namespace) && asked.rights.may(of, "read-job")
    };
    let read = |state: &State| {
        let documents = documents(state);
        Some(sorted(documents.iter().filter(|one| seen(one))).into_iter().cloned().collect())
    };
    asked.read(table, read, "")
}

fn one(asked: &Asked, table: &str, id: &str, front: &str, missing: &str) -> Reply {
    if let Some(refused) = asked.refused(asked.namespace(), "read-job") {
        return refused;
    }
    if let Some(wrong) = malformed(id) {
        return Reply::text(500, format!("{front}{wrong}"));
    }
    let read = |state: &State| {
        let found = if table == "evals" { state.evals.get(id) } else { state.deployments.get(id) };
        found.filter(|found| asked.rights.may(text(found, "Namespace"), "read-job")).cloned()
    };
    asked.read(table, read, missing)
}

fn alloc(asked: &Asked, id: &str) -> Reply {
    if let Some(wrong) = malformed(id) {
        return Reply::text(500, format!("alloc lookup failed: {wrong}"));
    }
    let namespace = asked.world.read(|state| state.allocs.get(id).map(|alloc| text(alloc, "Namespace").to_owned()));
    if let Some(refused) = namespace.and_then(|namespace| asked.refused(&namespace, "read-job")) {
        return refused;
    }
    asked.read("allocs", |state| state.allocs.get(id).cloned(), "alloc not found")
}

fn node(asked: &Asked, state: &State) -> Value {
    let world = asked.world;
    let drivers: serde_json::Map<String, Value> = world
        .drivers()
        .into_iter()
        .map(|driver| {
            let one = json!({"Attributes": {format!("driver.{driver}"): "true"}, "Detected": true, "Healthy": true,
                "HealthDescription": "Healthy", "UpdateTime": "2024-01-01T00:00:00Z"});
            (driver.to_owned(), one)
        })
        .collect();
    let networks: Vec<Value> = world
        .addresses()
        .iter()
        .map(|address| {
            let aliases = address.networks.iter().map(|alias| {
                json!({"Address": address.ip.to_string(), "Alias": alias, "ReservedPorts": "",
                    "Family": if address.ip.is_ipv4() { "ipv4" } else { "ipv6" }})
            });
            json!({"Mode": "host", "Device": address.interface, "Addresses": aliases.collect::<Vec<_>>()})
        })
        .collect();
    let http = world.config.advertised("http").unwrap_or_default();
    let attributes: serde_json::Map<String, Value> = world
        .names()
        .into_iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("attr.")?.to_owned(), value.into())))
        .collect();
    json!({"ID": state.node, "Name": world.name, "Datacenter": world.config.datacenter, "NodeClass": "",
        "Address": http.rsplit_once(':').map_or(http.as_str(), |(ip, _)| ip), "HTTPAddr": http, "Version": VERSION, "Drain": false,
        "Status": "ready", "StatusDescription": "", "SchedulingEligibility": "eligible", "Drivers": drivers,
        "HostVolumes": null, "LastDrain": null, "Attributes": attributes, "Meta": world.config.meta,
        "NodeResources": {"NodeNetworks": networks}, "CreateIndex": 1, "ModifyIndex": state.index_of("nodes").max(1)})
}

fn nodes(asked: &Asked) -> Reply {
    if !asked.rights.reads("node") {
        return denied();
    }
    let fields = [
        "Address",
        "CreateIndex",
        "Datacenter",
        "Drain",
        "Drivers",
        "HostVolumes",
        "ID",
        "LastDrain",
        "ModifyIndex",
        "Name",
        "NodeClass",
        "SchedulingEligibility",
        "Status",
        "StatusDescription",
        "Version",
    ];
    let client = asked.world.config.client && asked.world.is_registered();
    let read = |state: &State| Some(if client { json!([stub(&node(asked, state), &fields)]) } else { json!([]) });
    asked.read("nodes", read, "")
}

fn one_node(asked: &Asked, id: &str) -> Reply {
    if !asked.rights.reads("node") {
        return denied();
    }
    if let Some(wrong) = malformed(id) {
        return Reply::text(500, format!("node lookup failed: {wrong}"));
    }
    asked.read("nodes", |state| (state.node == id).then(|| node(asked, state)), "node not found")
}

/// `/v1/namespaces`, `/v1/namespace/…`.
pub fn namespaces(asked: &Asked, parts: &[&str]) -> Reply {
    match (asked.request.method.as_str(), parts) {
        ("GET", ["namespaces"]) => {
            let seen = |state: &State| {
                let seen = state.namespaces.iter().filter(|(name, _)| asked.rights.sees(name));
                Some(seen.map(|(_, namespace)| namespace.clone()).collect())
            };
            asked.read("namespaces", seen, "")
        }
        ("GET", ["namespace", name]) => {
            if !asked.rights.sees(name) {
                return denied();
            }
            asked.read("namespaces", |state| state.namespaces.get(*name).cloned(), "Namespace not found")
        }
        ("POST" | "PUT", ["namespace"]) => match asked.body() {
            // With a slash at its end it is a name that is missing.
            Ok(body) if !asked.request.path.ends_with('/') && !text(&body, "Name").is_empty() => put(asked, &body),
            _ => Reply::text(400, "Missing Namespace Name"),
        },
        ("POST" | "PUT", ["namespace", name]) => match asked.body() {
            Ok(body) if text(&body, "Name") == *name => put(asked, &body),
            Ok(_) => Reply::text(400, "Namespace name does not match request path"),
            Err(error) => Reply::text(500, error),
        },
        ("DELETE", ["namespace", name]) => delete(asked, name),
        _ => invalid_method(),
    }
}

fn put(asked: &Asked, body: &Value) -> Reply {
    if !asked.rights.is_management() {
        return denied();
    }
    let name = text(body, "Name");
    if name.len() > 128 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        let wrong = format!("invalid name {name:?}. Must match regex ^[a-zA-Z0-9-]{{1,128}}$");
        return Reply::text(500, format!("Invalid namespace {name:?}: {}", list(&[wrong])));
    }
    let capabilities = match &body["Capabilities"] {
        Value::Object(map) => {
            json!({"DisabledTaskDrivers": map.get("DisabledTaskDrivers"), "EnabledTaskDrivers": map.get("EnabledTaskDrivers")})
        }
        _ => Value::Null,
    };
    asked.world.change(|state| {
        let index = state.next("namespaces");
        let created = state.namespaces.get(name).map_or(json!(index), |old| old["CreateIndex"].clone());
        let document = json!({"Name": name, "Description": text(body, "Description"), "Quota": text(body, "Quota"),
            "Meta": body["Meta"], "Capabilities": capabilities, "Hash": hash(&body.to_string()), "CreateIndex": created,
            "ModifyIndex": index});
        state.namespaces.insert(name.to_owned(), document);
        written(index, None)
    })
}

fn delete(asked: &Asked, name: &str) -> Reply {
    if !asked.rights.is_management() {
        return denied();
    }
    if name == "default" {
        return Reply::text(500, "can not delete default namespace");
    }
    asked.world.change(|state| {
        let busy = state.allocs.values().any(|alloc| text(alloc, "Namespace") == name && !terminal(alloc));
        if busy {
            let error = format!("namespace {name:?} has non-terminal jobs in regions: [\"global\"]");
            return Reply::text(500, error);
        }
        if state.namespaces.remove(name).is_none() {
            return Reply::text(500, format!("namespace {name:?} not found"));
        }
        written(state.next("namespaces"), None)
    })
}
