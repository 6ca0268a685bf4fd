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
    /// How the guard decides whether the prefixes are announced.
    #[serde(default)]
    pub guard: Guard,
    /// What is reachable although it is not safe; `None`: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expose: Option<Expose>,
}

impl Settings {
    /// Whether Hippo and Bindle have routers from outside. Their passwords travel through these, so there are none without certificates, unless
    /// the site says so.
    pub fn opens_platform(&self) -> bool {
        self.tls != Tls::None || self.expose == Some(Expose::Plain)
    }
}

/// What a site may open although it is not safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expose {
    /// Hippo and Bindle by plain HTTP, passwords included.
    Plain,
}

impl Expose {
    /// The word in sites and templates.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Plain => "plain",
        }
    }
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

/// What the site says about the platform's metadata: a stranger's word, unless it says otherwise here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Whether the platform's addresses without TLS are asked too, for the metadata and for the time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub plain_http: bool,
    /// The prefixes of the private network, in place of what the metadata says. IPv4, canonical text, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub private_subnets: Vec<String>,
    /// Hosts that may be told of a node's progress because the metadata names them, besides the metadata service itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub report_hosts: Vec<String>,
}

impl Metadata {
    /// Whether the site says nothing.
    pub fn is_unsaid(&self) -> bool {
        *self == Self::default()
    }
}

/// How the guard decides whether this node announces the site's prefixes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Seconds from one round of proofs to the next while nothing changes.
    pub interval: u32,
    /// The same while rounds speak against what is announced, or for what is not. At most `interval`.
    pub fast_interval: u32,
    /// Seconds that one proof may take.
    pub timeout: u32,
    /// Good rounds in a row after which the prefixes are announced.
    pub rise: u32,
    /// Bad rounds in a row after which they are withdrawn.
    pub fall: u32,
    /// Seconds for which Consul, Nomad, Bindle and Hippo may be away while everything else holds, being started anew perhaps; 0: not at all.
    pub grace: u32,
    /// Seconds between asking the network to go elsewhere (RFC 8326) and withdrawing, when the node is drained.
    pub drain: u32,
    /// The port on the loopback where metrics are.
    pub metrics: u16,
    /// Requests of the site's own that must be answered too, the last links of the chain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<Canary>,
    /// When the last node that still announces goes on in spite of a canary; `None`: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Quorum>,
}

impl Default for Guard {
    /// At most three seconds to notice, as many to come back, and one slow answer is not yet a failure. A Nomad that is restarted is back after
    /// 1.5 to 2.4 s, a job that crashed after 2 to 3 (measured, 2.0.5): three times that is for busy machines.
    fn default() -> Self {
        Self {
            interval: 1,
            fast_interval: 1,
            timeout: 1,
            rise: 3,
            fall: 2,
            grace: 10,
            drain: 30,
            metrics: 9469,
            canaries: Vec::new(),
            quorum: None,
        }
    }
}

/// A request of the site's own. It is made on the node, to the anycast address, whatever the name in it means elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// `http` or `https`, with the name the application has: `http://app.example.org/healthz`.
    pub url: String,
    /// The status that is expected.
    pub status: u16,
    /// What must be in the first 64 KiB of the answer's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// Whether the certificate must be valid for the name, by the web's own roots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verify: bool,
}

/// When a node goes on announcing although a canary fails: when it fails at every other node too. Then the application is broken and not the
/// node, and nodes that all withdraw for it take down everything else with it. The price: a node that is cut off from the others
/// cannot tell the one from the other, and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quorum {
    /// The other nodes' own names, or addresses: the canaries are asked there.
    pub nodes: Vec<String>,
    /// The community, as `asn:value`, that the network takes for a lower preference.
    pub community: String,
}

/// The proxy through which nodes reach the world outside: origins, upstreams and webhooks; never the metadata service, the private network or a node's own
/// APIs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proxy {
    /// `http://host:port` or `https://host:port`.
    pub url: String,
    /// Hosts that are asked directly, as curl reads `no_proxy`: names with what is below them, addresses, networks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
}

impl Proxy {
    /// The variables that say the same to programs.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let exempt = (!self.no_proxy.is_empty()).then(|| ("no_proxy", self.no_proxy.join(",")));
        [("http_proxy", self.url.clone()), ("https_proxy", self.url.clone())].into_iter().chain(exempt).collect()
    }
}
