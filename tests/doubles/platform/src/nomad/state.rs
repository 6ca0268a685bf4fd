//! Everything the double remembers, as the documents its API shows.
//! May not start anything: it is data, and the rules of its own indexes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{clock, id};

/// Documents by their keys.
pub type Table = BTreeMap<String, Value>;

/// Everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Of the last change.
    pub index: u64,
    /// Of the ACL bootstrap; 0 before it.
    pub bootstrapped: u64,
    /// This node.
    pub node: String,
    /// Last change of each table.
    pub changed: BTreeMap<String, u64>,
    pub policies: Table,
    /// By accessor.
    pub tokens: Table,
    pub namespaces: Table,
    /// By [`key`].
    pub jobs: Table,
    pub evals: Table,
    pub deployments: Table,
    pub allocs: Table,
    /// Processes of tasks, by `<alloc>/<task>`.
    pub processes: BTreeMap<String, Process>,
}

/// A process, told apart from another of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// When the kernel started it, in its ticks.
    pub started: u64,
}

/// The key of a job.
pub fn key(namespace: &str, job: &str) -> String {
    format!("{namespace}\n{job}")
}

/// The text of a field.
pub fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document[field].as_str().unwrap_or_default()
}

impl State {
    /// Of a new cluster.
    pub fn new() -> Self {
        let mut state = Self { node: id::make(), ..Self::default() };
        let index = state.next("namespaces");
        let default = json!({"Name": "default", "Description": "Default shared namespace", "Quota": "", "Meta": null,
            "Capabilities": null, "Hash": hash("default"), "CreateIndex": index, "ModifyIndex": index});
        state.namespaces.insert("default".into(), default);
        state
    }

    /// A new index, for a change of a table.
    pub fn next(&mut self, table: &str) -> u64 {
        self.index += 1;
        self.changed.insert(table.to_owned(), self.index);
        self.index
    }

    /// The index of a table.
    pub fn index_of(&self, table: &str) -> u64 {
        self.changed.get(table).copied().unwrap_or(0)
    }

    /// Changes an allocation.
    pub fn alloc(&mut self, alloc: &str, change: impl FnOnce(&mut Value)) {
        let index = self.next("allocs");
        if let Some(document) = self.allocs.get_mut(alloc) {
            change(document);
            document["ModifyIndex"] = index.into();
            document["ModifyTime"] = clock::now().into();
        }
    }

    /// Changes a deployment.
    pub fn deployment(&mut self, deployment: &str, change: impl FnOnce(&mut Value)) {
        let index = self.next("deployment");
        if let Some(document) = self.deployments.get_mut(deployment) {
            change(document);
            document["ModifyIndex"] = index.into();
        }
    }

    /// A new evaluation of a job, to be worked on.
    pub fn evaluate(&mut self, namespace: &str, job: &str, why: &str) -> String {
        let index = self.next("evals");
        self.evaluate_at(index, namespace, job, why)
    }

    /// As [`State::evaluate`], as part of the change that had this index.
    pub fn evaluate_at(&mut self, index: u64, namespace: &str, job: &str, why: &str) -> String {
        self.changed.insert("evals".to_owned(), index);
        let (id, now) = (id::make(), clock::now());
        let document = self.jobs.get(&key(namespace, job));
        let kind = document.map_or("service", |job| text(job, "Type")).to_owned();
        let priority = document.map_or(json!(50), |job| job["Priority"].clone());
        let modified = document.map_or(Value::Null, |job| job["JobModifyIndex"].clone());
        let mut eval = json!({"ID": id, "Namespace": namespace, "JobID": job, "Type": kind, "Priority": priority,
            "TriggeredBy": why, "Status": "pending", "SnapshotIndex": index, "CreateIndex": index, "ModifyIndex": index,
            "CreateTime": now, "ModifyTime": now});
        if !modified.is_null() && why.starts_with("job-") {
            eval["JobModifyIndex"] = modified;
        }
        self.evals.insert(id.clone(), eval);
        id
    }

    /// A job's allocations, oldest first.
    pub fn allocs_of(&self, namespace: &str, job: &str) -> Vec<&Value> {
        let mut list: Vec<&Value> = self
            .allocs
            .values()
            .filter(|alloc| text(alloc, "JobID") == job && text(alloc, "Namespace") == namespace)
            .collect();
        list.sort_by_key(|alloc| (alloc["CreateIndex"].as_u64(), text(alloc, "Name").to_owned()));
        list
    }

    /// A job's last deployment.
    pub fn deployment_of(&self, namespace: &str, job: &str) -> Option<&Value> {
        let of = |one: &&Value| text(one, "JobID") == job && text(one, "Namespace") == namespace;
        self.deployments.values().filter(of).max_by_key(|one| one["CreateIndex"].as_u64())
    }

    /// What a job is doing: `pending`, `running`, `dead`.
    pub fn job_status(&self, namespace: &str, job: &str) -> &'static str {
        let Some(document) = self.jobs.get(&key(namespace, job)) else { return "dead" };
        let allocs = self.allocs_of(namespace, job);
        if allocs.iter().any(|alloc| !terminal(alloc)) {
            return "running";
        }
        let mut evals = self.evals.values();
        let open = evals.any(|eval| {
            text(eval, "JobID") == job
                && text(eval, "Namespace") == namespace
                && ["pending", "blocked"].contains(&text(eval, "Status"))
        });
        let stopped = document["Stop"] == true;
        if !stopped && (open || allocs.is_empty()) {
            return "pending";
        }
        if !stopped && text(document, "Type") == "system" { "running" } else { "dead" }
    }
}

/// Whether an allocation will do nothing more.
pub fn terminal(alloc: &Value) -> bool {
    if ["stop", "evict"].contains(&text(alloc, "DesiredStatus")) {
        return true;
    }
    ended(alloc)
}

/// Whether an allocation's tasks are over.
pub fn ended(alloc: &Value) -> bool {
    ["complete", "failed", "lost"].contains(&text(alloc, "ClientStatus"))
}

/// A hash in the API's form, of what a document says.
pub fn hash(of: &str) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(of.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_what_its_allocations_and_evaluations_say() {
        let mut state = State::new();
        assert_eq!(state.job_status("default", "web"), "dead");
        state.jobs.insert(key("default", "web"), json!({"ID": "web", "Type": "service", "Stop": false}));
        let eval = state.evaluate("default", "web", "job-register");
        assert_eq!(state.job_status("default", "web"), "pending");
        let alloc = json!({"JobID": "web", "Namespace": "default", "DesiredStatus": "run", "ClientStatus": "running"});
        state.allocs.insert("a".into(), alloc);
        assert_eq!(state.job_status("default", "web"), "running");
        state.alloc("a", |alloc| alloc["ClientStatus"] = "failed".into());
        state.evals.get_mut(&eval).unwrap()["Status"] = "complete".into();
        assert_eq!(state.job_status("default", "web"), "dead");
    }
}
