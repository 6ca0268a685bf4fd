//! Nomad's words for jobs, deployments, allocations and evaluations: the fields we look at, all but the names optional, others ignored.
//! May not judge: `standing` does. (HTTP API, the same from 1.4 to 2.0.)

use std::collections::BTreeMap;

use serde::Deserialize;

/// `GET /v1/job/<id>`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadJob {
    pub(super) version: u64,
    /// Somebody has stopped it.
    pub(super) stop: bool,
    pub(super) meta: Option<BTreeMap<String, String>>,
}

/// `GET /v1/job/<id>/deployment`: the latest one, or `null`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadDeployment {
    pub(super) status: String,
    pub(super) status_description: String,
    pub(super) job_version: u64,
}

/// `GET /v1/job/<id>/allocations`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadAllocation {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) job_version: u64,
    pub(super) create_index: u64,
    pub(super) desired_status: String,
    pub(super) client_status: String,
    pub(super) client_description: String,
    pub(super) task_states: Option<BTreeMap<String, NomadTask>>,
}

/// How a task of an allocation is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadTask {
    pub(super) state: String,
    pub(super) restarts: u64,
    pub(super) events: Option<Vec<NomadEvent>>,
}

/// One thing that happened to a task.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadEvent {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) display_message: String,
}

/// `GET /v1/job/<id>/evaluations`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadEvaluation {
    pub(super) create_index: u64,
    pub(super) status: String,
    pub(super) status_description: String,
    #[serde(rename = "FailedTGAllocs")]
    pub(super) failed: Option<BTreeMap<String, NomadMetric>>,
}

/// Why a group could not be placed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NomadMetric {
    pub(super) constraint_filtered: Option<BTreeMap<String, u64>>,
    pub(super) dimension_exhausted: Option<BTreeMap<String, u64>>,
    pub(super) nodes_evaluated: u64,
}
