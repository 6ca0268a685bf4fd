//! What an author said, once it is known to be right: every default filled in, every value checked.
//! May not read a file or know where in the text something stood: `read` does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use anymetal_contract::plan::Tls;
use anymetal_contract::plan::{Arch, Bgp, Delivery, Expose, Guard, Metadata, Proxy, Report, Supply};
use anymetal_contract::{Digest, Phase};
use ipnet::{Ipv4Net, Ipv6Net};

use crate::component::Version;
use crate::lock::Lock;
use crate::sign::PublicKey;

/// One site, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Lower-case letters, digits, dashes; at most 40.
    pub name: String,
    /// The serial of its release: nodes take none that is lower than one they have seen.
    pub serial: u64,
    /// The platform's name: `equinix-metal`.
    pub platform: String,
    /// The operating system: `debian-12`.
    pub os: String,
    /// At least one.
    pub architectures: BTreeSet<Arch>,
    /// Given, or `<first anycast IPv4 address with dashes>.sslip.io`.
    pub domain: String,
    /// Sorted, no duplicates, no host bits.
    pub anycast4: Vec<Ipv4Net>,
    /// Sorted, no duplicates, no host bits.
    pub anycast6: Vec<Ipv6Net>,
    /// Overrides of the platform's word.
    pub bgp: Bgp,
    /// What the platform's metadata is trusted with.
    pub metadata: Metadata,
    /// Every component the site has, by name: all of this release, but those that it does without.
    pub components: BTreeMap<String, Choice>,
    /// Settings of Hippo.
    pub hippo: Hippo,
    /// How Traefik gets certificates.
    pub tls: Tls,
    /// What is reachable from outside although it is not safe.
    pub expose: Option<Expose>,
    /// What may come in from outside.
    pub firewall: Firewall,
    /// When a node announces, and when it stops.
    pub guard: Guard,
    /// Where the secrets are, and how nodes get them.
    pub secrets: Secrets,
    /// Where events go.
    pub reports: Vec<Report>,
    /// Where upstreams are instead, by the names of `templates/sources.yaml`.
    pub sources: BTreeMap<String, Mirror>,
    /// Content-addressed origins, without trailing slashes.
    pub origins: Vec<String>,
    /// Where nodes take archives from, in the order given; empty means all of [`Supply::ALL`].
    pub supplies: Vec<Supply>,
    /// Who may sign releases, in the order given; empty means that nobody has to.
    pub signers: Vec<PublicKey>,
    /// The operator's own cloud-config, in the order given.
    pub cloud_config: Vec<Extra>,
    /// Deadlines that differ from init's own, in seconds.
    pub deadlines: BTreeMap<Phase, u32>,
    /// The proxy through which nodes reach the world outside.
    pub proxy: Option<Proxy>,
    /// Certificates of authorities of the site's own, each in PEM, judged.
    pub ca: Vec<String>,
    /// What `anymetal lock` resolved for this site, when there is a lock beside it.
    pub lock: Option<Lock>,
}

/// Which version of a component, and where it is when that is not generally known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// The version, or for what comes from the operating system the lowest that will do.
    pub version: Version,
    /// Given in the site; empty means that the component's description knows.
    pub artefacts: BTreeMap<Arch, Pin>,
    /// Packages of the operating system it needs, when the site says so itself instead of the component's description.
    pub packages: Option<Vec<String>>,
    /// Whether the author named the component; the others have the version of a set that fits.
    pub named: bool,
}

/// An archive the site pins itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The archive's digest.
    pub sha256: Digest,
    /// Its size in bytes, when given.
    pub size: Option<u64>,
    /// Where it can be had, besides the site's origins. Empty means upstream's own URL.
    pub urls: Vec<String>,
}

/// Where an upstream is instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirror {
    /// What stands in the place of its base URL, without a slash at its end.
    pub url: Option<String>,
    /// The keys that sign what it has, in place of those of this release; read, and known to be such.
    pub key: Option<Vec<u8>>,
}

/// Settings of Hippo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hippo {
    /// Who may make an account.
    pub registration: Registration,
    /// The administrator's name.
    pub administrator: String,
}

/// Who may make an account in Hippo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    Closed,
    /// The administrator makes accounts for others. The default.
    AdministratorOnly,
    /// Anybody who reaches the address, and may then deploy: Hippo's own default, never ours.
    Open,
}

/// What may come in from outside, besides 80, 443, ICMP and the neighbours' BGP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firewall {
    /// Who may use ssh; sorted, no overlaps.
    pub ssh4: Vec<Ipv4Net>,
    /// Who may use ssh; sorted, no overlaps.
    pub ssh6: Vec<Ipv6Net>,
    /// Further TCP ports, sorted.
    pub tcp: Vec<u16>,
    /// UDP ports, sorted.
    pub udp: Vec<u16>,
}

impl Default for Firewall {
    /// Ssh from everywhere: whoever wants less knows from where he comes.
    fn default() -> Self {
        Self { ssh4: vec![Ipv4Net::default()], ssh6: vec![Ipv6Net::default()], tcp: Vec::new(), udp: Vec::new() }
    }
}

/// Where the secrets are, and how nodes get them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The author's document of them.
    pub file: PathBuf,
    /// How they come onto a node.
    pub deliver: Delivery,
}

/// One cloud-config document of the operator's own.
#[derive(Debug, Clone, PartialEq)]
pub struct Extra {
    /// For messages: the file's name, or `cloud_config[0]`.
    pub origin: String,
    /// Its top-level keys.
    pub document: serde_yaml::Mapping,
}
