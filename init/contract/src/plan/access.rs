//! What a plan says of access control: who may do what with Consul and Nomad.
//! May not say how it is made so: `init/src/access/` does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Access control of Consul or Nomad: declared whole, made so at every run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Whose.
    pub of: Acl,
    /// The API's base URL: `https://127.0.0.1:4646`.
    pub api: String,
    /// The secret that is the management token.
    pub management: String,
    /// The secret that is the guard's token, which may look and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
    /// Policies, by name.
    pub policies: BTreeMap<String, Policy>,
    /// Tokens.
    pub tokens: Vec<Token>,
    /// Namespaces by name (Nomad), with what is not allowed in each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<String, Namespace>,
}

/// Whose access control it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Acl {
    /// Consul's: its configuration seeds the management token, and tokens have the secret that is chosen for them.
    Consul,
    /// Nomad's: it is bootstrapped with the chosen management token, and makes the secrets of other tokens itself.
    Nomad,
}

/// What a policy allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The facts its rules need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// The rules, a template.
    pub rules: String,
}

/// A token and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The secret that it is: chosen (Consul), or known by this name from then on (Nomad).
    pub secret: String,
    /// The policies it has.
    pub policies: Vec<String>,
}

/// A namespace of Nomad.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Namespace {
    /// What it is for.
    pub description: String,
    /// Task drivers that jobs in it may not use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disabled_drivers: Vec<String>,
}
