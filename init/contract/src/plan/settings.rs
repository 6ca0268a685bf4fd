//! What a plan says of the site's wishes, for templates.
//! May not hold a secret.

use serde::{Deserialize, Serialize};

/// What the site wants of the platform. Each field is the fact of that name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Of Hippo.
    pub hippo: Hippo,
    /// How Traefik gets certificates.
    pub tls: Tls,
    /// What may come in.
    pub firewall: Firewall,
}

/// Settings of Hippo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hippo {
    /// Who may make an account, in Hippo's words: `AdministratorOnly`, `Closed`, `Open`.
    pub registration: String,
    /// The administrator's name.
    pub administrator: String,
}

/// How Traefik gets certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum Tls {
    /// Plain HTTP only.
    #[default]
    None,
    /// ACME with a DNS challenge: with anycast the validator may reach another node than the one that asked.
    Acme {
        /// The account's address.
        email: String,
        /// Traefik's name of the DNS provider.
        dns_provider: String,
    },
    /// Files that are on the node.
    Files {
        /// Absolute path of the chain.
        certificate: String,
        /// Absolute path of the key.
        key: String,
    },
}

/// What may come in from outside, besides 80, 443, ICMP and the neighbours' BGP. Prefixes in canonical text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Firewall {
    /// Who may use ssh, IPv4.
    pub ssh4: Vec<String>,
    /// Who may use ssh, IPv6.
    pub ssh6: Vec<String>,
    /// Further TCP ports, open to everybody.
    pub tcp: Vec<u16>,
    /// UDP ports, open to everybody.
    pub udp: Vec<u16>,
}
