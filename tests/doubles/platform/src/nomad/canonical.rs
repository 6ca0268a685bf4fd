//! A job as the API keeps it: with every default filled in.
//! May not refuse a job: `validate` does.

use serde_json::{Map, Value, json};

const SECOND: i64 = 1_000_000_000;

/// Fills in what the author left out.
pub fn job(job: &mut Value, region: &str, namespace: &str) {
    let id = job["ID"].clone();
    fill(
        job,
        &json!({"Name": id, "Region": region, "Namespace": namespace, "Type": "service", "Priority": 50, "AllAtOnce": false,
            "Datacenters": null, "Affinities": null, "Constraints": null, "ConsulNamespace": "", "ConsulToken": "",
            "DispatchIdempotencyToken": "", "Dispatched": false, "Meta": null, "Multiregion": null, "NomadTokenID": "",
            "ParameterizedJob": null, "ParentID": "", "Payload": null, "Periodic": null, "Spreads": null,
            "Stable": false, "StatusDescription": "", "Stop": false, "TaskGroups": null, "VaultNamespace": "",
            "VaultToken": "", "Update": null}),
    );
    let kind = job["Type"].as_str().unwrap_or_default().to_owned();
    let common = job["Update"].clone();
    let namespace = job["Namespace"].clone();
    let mut used = false;
    for one in job["TaskGroups"].as_array_mut().into_iter().flatten() {
        group(one, &kind, &common, &namespace);
        used = used || !one["Update"].is_null();
    }
    let none = json!({"AutoPromote": false, "AutoRevert": false, "Canary": 0, "HealthCheck": "", "HealthyDeadline": 0,
        "MaxParallel": i64::from(used), "MinHealthyTime": 0, "ProgressDeadline": 0,
        "Stagger": if used { 30 * SECOND } else { 0 }});
    job["Update"] = none;
}

fn group(group: &mut Value, kind: &str, update: &Value, namespace: &Value) {
    fill(
        group,
        &json!({"Count": 1, "Affinities": null, "Constraints": null, "Consul": {"Namespace": ""}, "MaxClientDisconnect": null,
            "EphemeralDisk": {"Migrate": false, "SizeMB": 300, "Sticky": false}, "Meta": null, "Migrate": null,
            "Networks": null, "ReschedulePolicy": null, "RestartPolicy": {}, "Scaling": null, "Services": null,
            "ShutdownDelay": null, "Spreads": null, "StopAfterClientDisconnect": null, "Tasks": null, "Update": null,
            "Volumes": null}),
    );
    let restart = if kind == "batch" {
        json!({"Attempts": 3, "Delay": 15 * SECOND, "Interval": 86_400 * SECOND, "Mode": "fail"})
    } else {
        json!({"Attempts": 2, "Delay": 15 * SECOND, "Interval": 1_800 * SECOND, "Mode": "fail"})
    };
    fill(&mut group["RestartPolicy"], &restart);
    let again = match kind {
        "batch" => json!({"Attempts": 1, "Delay": 5 * SECOND, "DelayFunction": "constant", "Interval": 86_400 * SECOND,
            "MaxDelay": 0, "Unlimited": false}),
        _ => json!({"Attempts": 0, "Delay": 30 * SECOND, "DelayFunction": "exponential", "Interval": 0,
            "MaxDelay": 3_600 * SECOND, "Unlimited": true}),
    };
    if kind != "system" {
        fill(&mut group["ReschedulePolicy"], &again);
    }
    if kind == "service" {
        let migrate = json!({"HealthCheck": "checks", "HealthyDeadline": 300 * SECOND, "MaxParallel": 1, "MinHealthyTime": 10 * SECOND});
        fill(&mut group["Migrate"], &migrate);
    }
    if kind == "service" || !group["Update"].is_null() {
        let mut own = group["Update"].clone();
        if own.is_null() {
            own = json!({});
        }
        if update.is_object() {
            fill(&mut own, update);
        }
        fill(
            &mut own,
            &json!({"AutoPromote": false, "AutoRevert": false, "Canary": 0, "HealthCheck": "checks",
                "HealthyDeadline": 300 * SECOND, "MaxParallel": 1, "MinHealthyTime": 10 * SECOND,
                "ProgressDeadline": 600 * SECOND, "Stagger": 30 * SECOND}),
        );
        group["Update"] = own;
    }
    for network in group["Networks"].as_array_mut().into_iter().flatten() {
        fill(
            network,
            &json!({"CIDR": "", "DNS": null, "Device": "", "IP": "", "MBits": 0, "Mode": "",
            "DynamicPorts": null, "ReservedPorts": null}),
        );
        for key in ["DynamicPorts", "ReservedPorts"] {
            for port in network[key].as_array_mut().into_iter().flatten() {
                fill(port, &json!({"HostNetwork": "default", "To": 0, "Value": 0}));
                if port["HostNetwork"] == "" {
                    port["HostNetwork"] = "default".into();
                }
            }
        }
    }
    let restart = group["RestartPolicy"].clone();
    for one in group["Tasks"].as_array_mut().into_iter().flatten() {
        task(one, &restart, namespace);
    }
    services(group, namespace);
}

fn task(task: &mut Value, restart: &Value, namespace: &Value) {
    fill(
        task,
        &json!({"Affinities": null, "Artifacts": null, "CSIPluginConfig": null, "Config": null, "Constraints": null,
            "DispatchPayload": null, "Driver": "", "Env": null, "KillSignal": "", "KillTimeout": 5 * SECOND, "Kind": "",
            "Leader": false, "Lifecycle": null, "LogConfig": {"MaxFileSizeMB": 10, "MaxFiles": 10}, "Meta": null,
            "Resources": {}, "RestartPolicy": {}, "ScalingPolicies": null, "Services": null, "ShutdownDelay": 0,
            "Templates": null, "User": "", "Vault": null, "VolumeMounts": null}),
    );
    fill(
        &mut task["Resources"],
        &json!({"CPU": 100, "Cores": 0, "Devices": null, "DiskMB": 0, "IOPS": 0, "MemoryMB": 300, "MemoryMaxMB": 0,
            "Networks": null}),
    );
    fill(&mut task["RestartPolicy"], restart);
    services(task, namespace);
}

fn services(of: &mut Value, namespace: &Value) {
    for service in of["Services"].as_array_mut().into_iter().flatten() {
        fill(
            service,
            &json!({"Address": "", "AddressMode": "auto", "CanaryMeta": null, "CanaryTags": null, "Checks": null,
                "Connect": null, "EnableTagOverride": false, "Meta": null, "Name": "", "Namespace": namespace,
                "OnUpdate": "require_healthy", "PortLabel": "", "Provider": "consul", "TaggedAddresses": null,
                "Tags": null, "TaskName": ""}),
        );
        let on_update = service["OnUpdate"].clone();
        for check in service["Checks"].as_array_mut().into_iter().flatten() {
            fill(
                check,
                &json!({"AddressMode": "", "Args": null, "Body": "", "CheckRestart": null, "Command": "", "Expose": false,
                    "FailuresBeforeCritical": 0, "GRPCService": "", "GRPCUseTLS": false, "Header": null,
                    "InitialStatus": "", "Interval": 0, "Method": "", "Name": "", "OnUpdate": on_update, "Path": "",
                    "PortLabel": "", "Protocol": "", "SuccessBeforePassing": 0, "TLSSkipVerify": false,
                    "TaskName": "", "Timeout": 0, "Type": ""}),
            );
        }
    }
}

/// Puts in what is missing or null.
fn fill(value: &mut Value, defaults: &Value) {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    let (Some(map), Some(defaults)) = (value.as_object_mut(), defaults.as_object()) else { return };
    for (key, default) in defaults {
        let entry = map.entry(key.clone()).or_insert(Value::Null);
        if entry.is_null() {
            *entry = default.clone();
        }
    }
}

/// Whether two jobs say the same, apart from what the server writes into them.
pub fn same(one: &Value, other: &Value) -> bool {
    let bare = |job: &Value| {
        let mut job = job.clone();
        if let Some(map) = job.as_object_mut() {
            for key in [
                "CreateIndex",
                "JobModifyIndex",
                "ModifyIndex",
                "Version",
                "Status",
                "StatusDescription",
                "Stable",
                "SubmitTime",
                "NomadTokenID",
            ] {
                map.remove(key);
            }
        }
        job
    };
    bare(one) == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest() -> Value {
        json!({"ID": "web", "Datacenters": ["dc1"], "Update": {"MinHealthyTime": 2}, "TaskGroups": [{"Name": "g",
            "Networks": [{"DynamicPorts": [{"Label": "http"}]}],
            "Services": [{"Name": "s", "Checks": [{"Type": "http", "Path": "/"}]}],
            "Tasks": [{"Name": "t", "Driver": "raw_exec"}]}]})
    }

    #[test]
    fn defaults_are_those_of_nomad() {
        let mut web = smallest();
        job(&mut web, "global", "default");
        let group = &web["TaskGroups"][0];
        assert_eq!((&web["Name"], &web["Type"], &web["Priority"]), (&json!("web"), &json!("service"), &json!(50)));
        assert_eq!(group["Update"]["MinHealthyTime"], 2);
        assert_eq!(group["Update"]["HealthyDeadline"], 300 * SECOND);
        assert_eq!(group["Networks"][0]["DynamicPorts"][0]["HostNetwork"], "default");
        assert_eq!(group["Tasks"][0]["RestartPolicy"]["Attempts"], 2);
        assert_eq!(group["Services"][0]["Checks"][0]["OnUpdate"], "require_healthy");
        assert_eq!(web["Update"]["MinHealthyTime"], 0);
    }

    #[test]
    fn jobs_are_compared_without_what_the_server_writes() {
        let (mut one, mut other) = (smallest(), smallest());
        job(&mut one, "global", "default");
        job(&mut other, "global", "default");
        other["Version"] = 3.into();
        assert!(same(&one, &other));
        other["TaskGroups"][0]["Tasks"][0]["Env"] = json!({"A": "b"});
        assert!(!same(&one, &other));
    }
}
