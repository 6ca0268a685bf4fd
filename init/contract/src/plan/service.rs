//! What a plan says of a systemd unit, and when it counts as ready.
//! May not say how that is found out: `init/src/services/` does.

use serde::{Deserialize, Serialize};

use super::Access;

/// One systemd unit to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit: `consul.service`.
    pub unit: String,
    /// The component it runs; a new version of it restarts the unit.
    pub component: String,
    /// The names of the files ([`super::File::name`]) whose change restarts or reloads the unit.
    pub files: Vec<String>,
    /// Whether a changed file needs only a reload.
    pub reload: bool,
    /// Its data, when there are files in it that keep it from starting once a power cut has emptied them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Data>,
    /// When it counts as ready.
    pub ready: Ready,
    /// Who may do what with it, put right as soon as it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// The data of a service, as far as init may touch it: the files named here and no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Where it is, absolute. What leads there is root's; what is in it is the service's.
    pub folder: String,
    /// Files in it, relative, that end the service at every start while they are empty, and that it makes anew when they are missing. Removed when
    /// they are empty and the service has failed. The last part of a name may have one `*`, for a part that only the service knows.
    pub fatal_when_empty: Vec<String>,
}

/// When a service counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ready {
    /// systemd says that it is active.
    Active,
    /// Consul's API names a leader. The value is the API's base URL: `https://127.0.0.1:8501`.
    ConsulLeader(String),
    /// Nomad's API names a leader and, once access is put right, this node as ready. The value is the API's base URL.
    NomadNode(String),
    /// It is the guard: started by the phase `announce`, and ready when the prefixes are announced.
    Announced,
}

impl Ready {
    /// The word in [`crate::Abilities::ready`].
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::ConsulLeader(_) => "consul-leader",
            Self::NomadNode(_) => "nomad-node",
            Self::Announced => "announced",
        }
    }
}
