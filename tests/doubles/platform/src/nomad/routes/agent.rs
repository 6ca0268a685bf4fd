//! What anybody may ask, and the agent about itself.
//! May not change anything.

use serde_json::{Value, json};

use super::{Asked, HOLD, denied, invalid_method};
use crate::http::{Reply, Request};
use crate::nomad::VERSION;
use crate::nomad::world::World;

/// `/v1/status/…`, `/v1/agent/health`, `/v1/regions`, `/v1/metrics`.
pub fn free(world: &World, request: &Request, parts: &[&str]) -> Reply {
    if request.method != "GET" {
        return invalid_method();
    }
    match parts {
        ["status", which] => {
            // Whoever takes a stale answer is not kept waiting for a leader.
            if request.query.contains_key("stale") && !world.has_leader() {
                return Reply::json(&if *which == "leader" { json!("") } else { json!([]) });
            }
            if !world.wait(HOLD, |_| world.has_leader()) {
                return Reply::text(500, "No cluster leader");
            }
            let rpc = world.config.advertised("rpc").unwrap_or_default();
            match *which {
                "leader" => Reply::json(&rpc.into()),
                "peers" => Reply::json(&json!([rpc])),
                _ => Reply::empty(404),
            }
        }
        ["agent", "health"] => health(world, request),
        ["regions"] => Reply::json(&json!([world.config.region])),
        _ => Reply::json(&json!({"Counters": [], "Gauges": [], "Points": [], "Samples": []})),
    }
}

fn health(world: &World, request: &Request) -> Reply {
    let asked = request.query.get("type").map(String::as_str);
    let well = json!({"ok": true, "message": "ok"});
    let ill = |message: &str| json!({"ok": false, "message": message});
    let mut all = serde_json::Map::new();
    if asked.is_none_or(|kind| kind == "client") {
        if world.config.client {
            all.insert("client".into(), well.clone());
        } else if asked.is_some() {
            all.insert("client".into(), ill("client not enabled"));
        }
    }
    if asked.is_none_or(|kind| kind == "server") {
        if world.config.server {
            let leader = world.wait(HOLD, |_| world.has_leader());
            all.insert("server".into(), if leader { well } else { ill("No cluster leader") });
        } else if asked.is_some() {
            all.insert("server".into(), ill("server not enabled"));
        }
    }
    let ok = all.values().all(|one| one["ok"] == true);
    let value = Value::Object(all);
    if ok { Reply::json(&value) } else { Reply::text(500, value.to_string()) }
}

/// `/v1/agent/self`.
pub fn about(asked: &Asked) -> Reply {
    if !asked.rights.reads("agent") {
        return denied();
    }
    let (world, config) = (asked.world, &asked.world.config);
    let leader = world.has_leader().to_string();
    let addresses = |of: &str| config.address(of).to_string();
    let advertised = |of: &str| config.advertised(of).unwrap_or_default();
    Reply::json(&json!({
        "config": {"Region": config.region, "Datacenter": config.datacenter, "NodeName": world.name,
            "DataDir": config.data_dir, "BindAddr": config.bind.map(|ip| ip.to_string()),
            "ACL": {"Enabled": config.acl},
            "Addresses": {"HTTP": addresses("http"), "RPC": addresses("rpc"), "Serf": addresses("serf")},
            "AdvertiseAddrs": {"HTTP": advertised("http"), "RPC": advertised("rpc"), "Serf": advertised("serf")},
            "Ports": {"HTTP": config.port("http"), "RPC": config.port("rpc"), "Serf": config.port("serf")},
            "Server": {"Enabled": config.server, "BootstrapExpect": config.bootstrap_expect},
            "Client": {"Enabled": config.client, "NetworkInterface": config.interface},
            "Version": {"Version": VERSION, "VersionPrerelease": "", "VersionMetadata": "double", "Revision": "double"}},
        "member": {"Name": format!("{}.{}", world.name, config.region), "Addr": addresses("serf"),
            "Port": config.port("serf"), "Status": "alive",
            "Tags": {"region": config.region, "dc": config.datacenter, "build": VERSION}},
        "stats": {"nomad": {"server": config.server.to_string(), "leader": leader, "bootstrap": "true",
            "known_regions": "1"}, "client": {"node_id": world.node}},
    }))
}
