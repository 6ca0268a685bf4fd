//! What a plan says of a job that Nomad runs.
//! May not say how it is followed: `init/src/jobs/` does.

use serde::{Deserialize, Serialize};

/// One job of Nomad's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Its name and id: `traefik`.
    pub name: String,
    /// The component it runs; a new version of it is a new version of the job.
    pub component: String,
    /// The namespace it lives in.
    pub namespace: String,
    /// The base URL of Nomad's API.
    pub api: String,
    /// The secret that is the token to submit it with.
    pub token: String,
    /// The names of the files ([`File::name`]) whose change makes a new version of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// The facts it needs.
    pub needs: Vec<String>,
    /// The secrets it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// What must answer before it counts as healthy, besides Nomad's own word.
    pub answers: Vec<Answers>,
    /// The template of the job as Nomad's API takes it, in JSON.
    pub body: String,
}

/// Something that must answer with 200.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Answers {
    /// This URL.
    Url(String),
    /// This service, asked through the proxy of this node under every name it has: `<label>.<domain>` for each of the fact `domains`.
    Name {
        /// The first label: `hippo`.
        label: String,
        /// The path: `/healthz`.
        path: String,
        /// The same question to the service itself, on the loopback: asked while it has no router ([`super::Settings::opens_platform`]).
        loopback: String,
    },
}
