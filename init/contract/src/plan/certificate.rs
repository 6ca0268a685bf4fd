//! What a plan says of the certificates by which services of the cluster know one another.
//! May not hold a key: the CA's is a secret, the others never leave the node that made them.

use serde::{Deserialize, Serialize};

/// A certificate for a server and client of TLS. Every node makes its own: `<name>.pem` and `<name>-key.pem` in [`crate::place::TLS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The component it is for, whose services are restarted when it is another one: `consul`.
    pub name: String,
    /// DNS names and IP addresses it is good for; the first is its subject: `server.dc1.consul`, `127.0.0.1`.
    pub names: Vec<String>,
}
