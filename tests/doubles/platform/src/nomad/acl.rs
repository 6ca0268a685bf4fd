//! Who may do what: capabilities in namespaces, and the coarse policies of nodes, agents and operators.
//! May not know tokens, requests or the state: it is given rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::rules;

/// What policies allow together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    management: bool,
    /// By namespace; a `*` in a name stands for anything.
    namespaces: BTreeMap<String, BTreeSet<String>>,
    /// By kind: `node`, `agent`, `operator`.
    coarse: BTreeMap<String, BTreeSet<String>>,
}

const CAPABILITIES: &[&str] = &[
    "deny",
    "list-jobs",
    "parse-job",
    "read-job",
    "submit-job",
    "dispatch-job",
    "read-logs",
    "read-fs",
    "alloc-exec",
    "alloc-node-exec",
    "alloc-lifecycle",
    "sentinel-override",
    "csi-register-plugin",
    "csi-write-volume",
    "csi-read-volume",
    "csi-list-volume",
    "csi-mount-volume",
    "list-scaling-policies",
    "read-scaling-policy",
    "read-job-scaling",
    "scale-job",
    "submit-recommendation",
];
const READ: &[&str] = &[
    "list-jobs",
    "parse-job",
    "read-job",
    "csi-list-volume",
    "csi-read-volume",
    "read-job-scaling",
    "list-scaling-policies",
    "read-scaling-policy",
];
const WRITE: &[&str] = &[
    "scale-job",
    "submit-job",
    "dispatch-job",
    "read-logs",
    "read-fs",
    "alloc-exec",
    "alloc-lifecycle",
    "csi-mount-volume",
    "csi-write-volume",
    "submit-recommendation",
];
const SCALE: &[&str] = &["list-scaling-policies", "read-scaling-policy", "read-job-scaling", "scale-job"];
const COARSE: &[&str] = &["agent", "node", "operator", "quota"];

impl Rights {
    /// Everything.
    pub fn management() -> Self {
        Self { management: true, ..Self::default() }
    }

    /// What these rules allow together; rules were checked when they were taken.
    pub fn of<'a>(rules: impl IntoIterator<Item = &'a str>) -> Self {
        let mut rights = Self::default();
        for text in rules {
            let Ok(map) = rules::parse(text) else { continue };
            for (name, block) in named(&map, "namespace") {
                let granted = rights.namespaces.entry(name.to_owned()).or_default();
                granted.extend(capabilities(block));
            }
            for kind in COARSE {
                if let Some(policy) = map.get(*kind).and_then(|block| block["policy"].as_str()) {
                    rights.coarse.entry((*kind).to_owned()).or_default().insert(policy.to_owned());
                }
            }
        }
        rights
    }

    /// Whether everything is allowed.
    pub const fn is_management(&self) -> bool {
        self.management
    }

    /// Whether a capability is granted in a namespace.
    pub fn may(&self, namespace: &str, capability: &str) -> bool {
        if self.management {
            return true;
        }
        self.of_namespace(namespace).is_some_and(|granted| !granted.contains("deny") && granted.contains(capability))
    }

    /// Whether anything is granted in a namespace.
    pub fn sees(&self, namespace: &str) -> bool {
        self.management
            || self.of_namespace(namespace).is_some_and(|granted| !granted.contains("deny") && !granted.is_empty())
    }

    /// Whether something coarse may be read: `node`, `agent`, `operator`.
    pub fn reads(&self, kind: &str) -> bool {
        self.coarse_has(kind, &["read", "write"])
    }

    /// Whether something coarse may be changed.
    pub fn writes(&self, kind: &str) -> bool {
        self.coarse_has(kind, &["write"])
    }

    fn coarse_has(&self, kind: &str, wanted: &[&str]) -> bool {
        self.management
            || self
                .coarse
                .get(kind)
                .is_some_and(|have| !have.contains("deny") && wanted.iter().any(|policy| have.contains(*policy)))
    }

    /// The rules of a namespace: those of its own name, else those of the pattern that leaves the fewest characters to its `*`.
    fn of_namespace(&self, namespace: &str) -> Option<&BTreeSet<String>> {
        self.namespaces.get(namespace).or_else(|| {
            let fitting = self.namespaces.iter().filter(|(name, _)| name.contains('*') && fits(name, namespace));
            fitting.max_by_key(|(name, _)| name.len()).map(|(_, granted)| granted)
        })
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text
            .strip_prefix(head)
            .is_some_and(|left| (0..=left.len()).any(|at| left.is_char_boundary(at) && fits(rest, &left[at..]))),
    }
}

fn named<'a>(map: &'a Map<String, Value>, kind: &str) -> Vec<(&'a str, &'a Map<String, Value>)> {
    let blocks = map.get(kind).and_then(Value::as_object).into_iter().flatten();
    blocks.filter_map(|(name, block)| Some((name.as_str(), block.as_object()?))).collect()
}

fn listed(block: &Map<String, Value>) -> Vec<String> {
    let list = block.get("capabilities").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn capabilities(block: &Map<String, Value>) -> Vec<String> {
    let mut all = listed(block);
    let short: Vec<&str> = match block.get("policy").and_then(Value::as_str) {
        Some("read") => READ.to_vec(),
        Some("write") => [READ, WRITE].concat(),
        Some("scale") => SCALE.to_vec(),
        Some("deny") => vec!["deny"],
        _ => Vec::new(),
    };
    all.extend(short.into_iter().map(str::to_owned));
    all
}

/// What is wrong with rules, in Nomad's words.
pub fn check(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let map = rules::parse(text).map_err(|error| format!("Failed to parse ACL Policy: {error}"))?;
    let kinds = ["namespace", "host_volume", "agent", "node", "operator", "quota", "plugin"];
    if !kinds.iter().any(|kind| map.contains_key(*kind)) {
        return Err(format!("Invalid policy: {text}"));
    }
    for (name, block) in named(&map, "namespace") {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '*')) {
            return Err(format!("Invalid namespace name: {name}"));
        }
        if let Some(policy) = block.get("policy").and_then(Value::as_str)
            && !["deny", "read", "write", "scale", "list"].contains(&policy)
        {
            return Err(format!("Invalid namespace policy: {policy}"));
        }
        if let Some(strange) = listed(block).iter().find(|capability| !CAPABILITIES.contains(&capability.as_str())) {
            let policy = block.get("policy").and_then(Value::as_str).unwrap_or_default();
            let listed = listed(block).iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(", ");
            return Err(format!(
                "Invalid namespace capability '{strange}': &acl.NamespacePolicy{{Name:{name:?}, Policy:{policy:?}, \
                 Capabilities:[]string{{{listed}}}, Variables:(*acl.VariablesPolicy)(nil)}}"
            ));
        }
    }
    for kind in COARSE {
        let policy = map.get(*kind).map(|block| block["policy"].as_str().unwrap_or_default());
        if policy.is_some_and(|policy| !["deny", "read", "write", "list"].contains(&policy)) {
            return Err(format!("Invalid {kind} policy: {}", policy.unwrap_or_default()));
        }
    }
    Ok(())
}

/// Rules as the API explains them.
pub fn explained(text: &str) -> Value {
    let map = rules::parse(text).unwrap_or_default();
    let namespaces: Vec<Value> = named(&map, "namespace")
        .into_iter()
        .map(|(name, block)| {
            let policy = block.get("policy").and_then(Value::as_str).unwrap_or_default();
            json!({"Name": name, "Policy": policy, "Capabilities": capabilities(block), "Variables": null})
        })
        .collect();
    let coarse = |kind: &str| map.get(kind).map(|block| json!({"Policy": block["policy"]}));
    json!({
        "Namespaces": if namespaces.is_empty() { Value::Null } else { namespaces.into() },
        "HostVolumes": null, "Agent": coarse("agent"), "Node": coarse("node"), "Operator": coarse("operator"),
        "Quota": coarse("quota"), "Plugin": null, "Raw": text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIPPO: &str =
        r#"namespace "default" { capabilities = ["list-jobs", "read-job", "submit-job", "read-logs"] }"#;

    #[test]
    fn capabilities_hold_in_their_namespace_only() {
        let rights = Rights::of([HIPPO]);
        assert!(rights.may("default", "submit-job") && rights.sees("default"));
        assert!(!rights.may("default", "alloc-exec"));
        assert!(!rights.may("platform", "read-job") && !rights.sees("platform"));
        assert!(!rights.reads("node") && !rights.is_management());
    }

    #[test]
    fn short_policies_mean_their_capabilities_and_deny_outweighs_them() {
        let rights =
            Rights::of([r#"namespace "*" { policy = "read" }"#, r#"namespace "a" { policy = "deny" }"#, HIPPO]);
        assert!(rights.may("other", "read-job") && !rights.may("other", "submit-job"));
        assert!(!rights.may("a", "read-job") && !rights.sees("a"));
        assert!(rights.may("default", "submit-job"));
        let coarse = Rights::of([r#"node { policy = "read" } operator { policy = "write" }"#]);
        assert!(coarse.reads("node") && !coarse.writes("node") && coarse.writes("operator"));
    }

    #[test]
    fn management_may_do_everything() {
        assert!(Rights::management().may("any", "thing") && Rights::management().writes("node"));
    }

    #[test]
    fn wrong_rules_are_refused_in_nomads_words() {
        assert_eq!(check(HIPPO), Ok(()));
        assert_eq!(check(""), Ok(()));
        let error = check(r#"namespace "default" { capabilities = ["fly"] }"#).unwrap_err();
        assert!(error.starts_with("Invalid namespace capability 'fly'"), "{error}");
        assert_eq!(check("nmespace \"default\" { }").unwrap_err(), "Invalid policy: nmespace \"default\" { }");
        assert!(check("namespace {").unwrap_err().starts_with("Failed to parse ACL Policy: "));
    }
}
