//! The variables of a task, and what `${…}` stands for.
//! May not read this program's own environment: it is given.

use std::collections::BTreeMap;

use serde_json::Value;

/// Not handed from the agent to tasks.
pub const HIDDEN: &[&str] = &[
    "CONSUL_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "VAULT_TOKEN",
    "NOMAD_LICENSE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "GOOGLE_APPLICATION_CREDENTIALS",
];

/// What `${…}` may name, besides the variables: `node.…`, `attr.…`, `meta.…`.
pub type Names = BTreeMap<String, String>;

/// Replaces what is known; what is not stays as it is.
pub fn replace(text: &str, names: &[&Names]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        out.push_str(before);
        let end = from[2..].find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')));
        if let Some(end) = end.filter(|end| *end > 0 && from[2 + end..].starts_with('}')) {
            let name = &from[2..2 + end];
            let whole = &from[..=2 + end];
            out.push_str(names.iter().find_map(|names| names.get(name)).map_or(whole, String::as_str));
            rest = &from[3 + end..];
        } else {
            out.push_str("${");
            rest = &from[2..];
        }
    }
    out + rest
}

/// The folders of a task, as the task sees them.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    pub alloc: String,
    pub local: String,
    pub secrets: String,
}

/// Everything in a task's environment.
pub fn variables(alloc: &Value, task: &Value, folders: &Folders, node: &Names, host: &Names) -> Names {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = text(&alloc["ID"]);
    let index = text(&alloc["Name"]).rsplit_once('[').map(|(_, index)| index.trim_end_matches(']').to_owned());
    let mut names: Names = [
        ("NOMAD_ALLOC_DIR", folders.alloc.clone()),
        ("NOMAD_TASK_DIR", folders.local.clone()),
        ("NOMAD_SECRETS_DIR", folders.secrets.clone()),
        ("NOMAD_MEMORY_LIMIT", task["Resources"]["MemoryMB"].to_string()),
        ("NOMAD_CPU_LIMIT", task["Resources"]["CPU"].to_string()),
        ("NOMAD_SHORT_ALLOC_ID", id.chars().take(8).collect()),
        ("NOMAD_ALLOC_ID", id),
        ("NOMAD_ALLOC_NAME", text(&alloc["Name"])),
        ("NOMAD_ALLOC_INDEX", index.unwrap_or_default()),
        ("NOMAD_GROUP_NAME", text(&alloc["TaskGroup"])),
        ("NOMAD_TASK_NAME", text(&task["Name"])),
        ("NOMAD_JOB_ID", text(&alloc["JobID"])),
        ("NOMAD_JOB_NAME", text(&alloc["Job"]["Name"])),
        ("NOMAD_NAMESPACE", text(&alloc["Namespace"])),
        ("NOMAD_DC", node.get("node.datacenter").cloned().unwrap_or_default()),
        ("NOMAD_REGION", text(&alloc["Job"]["Region"])),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    for port in alloc["AllocatedResources"]["Shared"]["Ports"].as_array().into_iter().flatten() {
        let label = text(&port["Label"]);
        let (ip, value) = (text(&port["HostIP"]), port["Value"].to_string());
        let to = port["To"].as_u64().filter(|to| *to > 0).map_or(value.clone(), |to| to.to_string());
        let address = join(&ip, &value);
        for (name, value) in [
            ("NOMAD_ADDR", &address),
            ("NOMAD_HOST_ADDR", &address),
            ("NOMAD_IP", &ip),
            ("NOMAD_HOST_IP", &ip),
            ("NOMAD_PORT", &to),
            ("NOMAD_ALLOC_PORT", &to),
            ("NOMAD_HOST_PORT", &value),
        ] {
            names.insert(format!("{name}_{label}"), value.clone());
        }
    }
    let job = &alloc["Job"];
    let group = job["TaskGroups"].as_array().into_iter().flatten().find(|group| group["Name"] == alloc["TaskGroup"]);
    for meta in [&job["Meta"], group.map_or(&Value::Null, |group| &group["Meta"]), &task["Meta"]] {
        for (name, value) in meta.as_object().into_iter().flatten() {
            let value = replace(value.as_str().unwrap_or_default(), &[node, &names]);
            names.insert(format!("NOMAD_META_{name}"), value.clone());
            names.insert(format!("NOMAD_META_{}", name.to_uppercase()), value);
        }
    }
    for (name, value) in host {
        if !HIDDEN.contains(&name.as_str()) && !names.contains_key(name) {
            names.insert(name.clone(), replace(value, &[node, &names]));
        }
    }
    let own: Vec<(String, String)> = task["Env"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), replace(value.as_str().unwrap_or_default(), &[node, &names])))
        .collect();
    names.extend(own);
    names.into_iter().map(|(name, value)| (clean(&name), value)).collect()
}

/// Labels may have characters that variables may not.
fn clean(name: &str) -> String {
    let prefixes = ["NOMAD_ADDR_", "NOMAD_IP_", "NOMAD_PORT_", "NOMAD_HOST_PORT_", "NOMAD_META_"];
    if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
        return name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    }
    name.to_owned()
}

/// An address and a port.
pub fn join(ip: &str, port: &str) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(pairs: &[(&str, &str)]) -> Names {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_known_is_replaced_and_the_unknown_stays() {
        let known = names(&[("NOMAD_ADDR_http", "10.0.0.2:21000"), ("node.unique.name", "n1")]);
        let of = [
            ("--listen ${NOMAD_ADDR_http}", "--listen 10.0.0.2:21000"),
            ("${node.unique.name}-${NOPE}", "n1-${NOPE}"),
            ("${ not } $x ${}", "${ not } $x ${}"),
            ("a${", "a${"),
        ];
        for (text, expected) in of {
            assert_eq!(replace(text, &[&known]), expected);
        }
    }

    #[test]
    fn a_task_has_its_ports_its_own_variables_and_the_hosts_but_no_tokens() {
        let alloc = json!({"ID": "d3b8d9c8-f79f", "Name": "stub.g[0]", "TaskGroup": "g", "JobID": "stub",
            "Namespace": "default", "Job": {"Name": "stub", "Region": "global", "Meta": {"colour": "red"}},
            "AllocatedResources": {"Shared": {"Ports": [{"Label": "ht-tp", "HostIP": "fd00::1", "Value": 21085, "To": 0}]}}});
        let task = json!({"Name": "t", "Env": {"FOO": "x${NOMAD_PORT_ht-tp}", "PATH": "/bin"}, "Resources": {"CPU": 100, "MemoryMB": 300}});
        let host = names(&[("PATH", "/usr/bin"), ("CONSUL_HTTP_TOKEN", "secret"), ("LANG", "C")]);
        let node = names(&[("node.datacenter", "dc1")]);
        let all = variables(&alloc, &task, &Folders::default(), &node, &host);
        assert_eq!(all["NOMAD_ADDR_ht_tp"], "[fd00::1]:21085");
        assert_eq!(all["FOO"], "x21085");
        assert_eq!((all["PATH"].as_str(), all["LANG"].as_str()), ("/bin", "C"));
        assert_eq!(all["NOMAD_ALLOC_INDEX"], "0");
        assert_eq!(all["NOMAD_META_COLOUR"], "red");
        assert!(!all.contains_key("CONSUL_HTTP_TOKEN"));
    }
}
