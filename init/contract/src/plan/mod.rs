//! The plan: everything every node of a site needs; no secrets, nothing node-specific.
//! May not read or write one: the builder writes it in canonical JSON (RFC 8785: sorted keys, no white space, integers only), and
//! the sha256 of those bytes is the plan digest.

mod access;
mod certificate;
mod component;
mod job;
mod service;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use access::{Access, Acl, Namespace, Policy, Token};
pub use certificate::Certificate;
pub use component::{Artefact, Component, Format, HostPackage, Member, Source};
pub use job::{Answers, Job};
pub use service::{Data, Ready, Service};
pub use settings::{Canary, Expose, Firewall, Guard, Hippo, Metadata, Proxy, Quorum, Settings, Tls};

use serde::{Deserialize, Serialize};

use crate::{Digest, Phase};

/// The `kind` of every plan.
pub const KIND: &str = "anymetal.plan";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;

/// A site's plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The site's name: lower-case letters, digits and dashes.
    pub site: String,
    /// Which reader of metadata: `equinix-metal`, `vultr`, `file`.
    pub platform: String,
    /// The operating system of the nodes: `debian-12`.
    pub os: String,
    /// The name the platform answers under, without a trailing dot.
    pub domain: String,
    /// The prefixes all nodes of the site announce.
    pub anycast: Anycast,
    /// What the site says about BGP over what the metadata says.
    pub bgp: Bgp,
    /// What the site says about the metadata.
    #[serde(default, skip_serializing_if = "Metadata::is_unsaid")]
    pub metadata: Metadata,
    /// The phases this plan has work for. `wake`, `plan` and `settle` need not be named.
    pub phases: BTreeSet<Phase>,
    /// Content-addressed origins, base URLs without a trailing slash: a blob is at `<origin>/sha256/<hex>`. Tried in this order, before an
    /// artefact's own URLs.
    pub origins: Vec<String>,
    /// Where blobs are taken from, in this order; left out, [`Supply::ALL`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supplies: Vec<Supply>,
    /// What is installed.
    pub components: Vec<Component>,
    /// The packages of the operating system that are installed, when they are pinned: for each architecture the list ([`crate::packages`]), which
    /// is a blob itself. Left out, they come from the system's own archive.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub packages: BTreeMap<Arch, Listed>,
    /// Certificates that each node makes for its own services, signed by the site's CA.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// What is rendered, in this order.
    pub files: Vec<File>,
    /// What is started, in this order.
    pub services: Vec<Service>,
    /// What is run by Nomad once all services are ready, submitted in this order.
    pub jobs: Vec<Job>,
    /// What the site wants of the platform, for templates.
    pub settings: Settings,
    /// How the secrets that files, services and jobs name come onto the node; `None` when they name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Delivery>,
    /// How long a phase may take before what it waits for is given up, in seconds. A phase that is not named has the default of init.
    pub deadlines: BTreeMap<Phase, u32>,
    /// Where events go, besides the console, the journal and the node's own files.
    pub reports: Vec<Report>,
    /// The proxy through which nodes reach the world outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Certificates of authorities, each in PEM, that are believed beside the web's own of origins, upstream's mirrors and reports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca: Vec<String>,
}

impl Default for Plan {
    /// A plan of this form with nothing in it.
    fn default() -> Self {
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            site: String::new(),
            platform: String::new(),
            os: String::new(),
            domain: String::new(),
            anycast: Anycast::default(),
            bgp: Bgp::default(),
            metadata: Metadata::default(),
            phases: BTreeSet::new(),
            origins: Vec::new(),
            supplies: Vec::new(),
            components: Vec::new(),
            packages: BTreeMap::new(),
            certificates: Vec::new(),
            files: Vec::new(),
            services: Vec::new(),
            jobs: Vec::new(),
            settings: Settings::default(),
            secrets: None,
            deadlines: BTreeMap::new(),
            reports: Vec::new(),
            proxy: None,
            ca: Vec::new(),
        }
    }
}

impl Plan {
    /// Every secret that a file, a service, a job, a certificate, the BGP sessions or a report need and that comes from outside, sorted, each once. Those for an ACME
    /// challenge only when there is one.
    pub fn wanted_secrets(&self) -> BTreeSet<&str> {
        let files = self.files.iter().flat_map(|file| &file.secrets);
        let jobs = self.jobs.iter().flat_map(|job| job.secrets.iter().chain([&job.token]));
        let accesses = self.services.iter().filter_map(|service| service.access.as_ref());
        let access = accesses.flat_map(|access| {
            let chosen = access.tokens.iter().filter(|_| access.of == Acl::Consul);
            chosen.map(|token| &token.secret).chain([&access.management])
        });
        let sessions = self.bgp.password.map(|Password::Secret| crate::secrets::BGP_PASSWORD);
        let webhook = self.reports.contains(&Report::Webhook).then_some(crate::secrets::WEBHOOK);
        let authority = self.certificates.first().map(|_| crate::secrets::CLUSTER_CA);
        let other = sessions.into_iter().chain(webhook).chain(authority);
        let named = files.chain(jobs).chain(access).map(String::as_str).chain(other);
        let acme = matches!(self.settings.tls, Tls::Acme { .. });
        let wanted = |name: &&str| match crate::secrets::named(name).map(|known| known.shape) {
            Some(crate::secrets::Shape::MadeOnTheNode) => false,
            Some(crate::secrets::Shape::Variables) => acme,
            Some(_) | None => true,
        };
        named.filter(wanted).collect()
    }
}

/// Anycast prefixes, in canonical text (RFC 5952 for IPv6), no host bits set, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Anycast {
    /// IPv4 prefixes: `147.75.195.143/32`.
    pub v4: Vec<String>,
    /// IPv6 prefixes.
    pub v6: Vec<String>,
}

/// Overrides of what the metadata says about BGP. What is not set here comes from the platform.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bgp {
    /// Our own autonomous system number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_asn: Option<u32>,
    /// The neighbours' autonomous system number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_asn: Option<u32>,
    /// Hops to the neighbours, 1 to 255; 1 means on-link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multihop: Option<u8>,
    /// Where the sessions' password comes from, when not from the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// Communities attached to what is announced, as `asn:value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,
}

/// Where the password of the BGP sessions comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// It is among the secrets, as [`crate::secrets::BGP_PASSWORD`].
    Secret,
}

/// A processor architecture, by the name `uname -m` gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit ARM.
    Aarch64,
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
}

impl Arch {
    /// All architectures.
    pub const ALL: [Self; 2] = [Self::Aarch64, Self::X86_64];

    /// The name, as `uname -m` prints it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Aarch64 => "aarch64",
            Self::X86_64 => "x86_64",
        }
    }

    /// The name Debian gives it.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::Aarch64 => "arm64",
            Self::X86_64 => "amd64",
        }
    }

    /// The architecture of that name.
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arch| arch.id() == id)
    }

    /// The architecture this very program was compiled for, when it is one of ours.
    pub fn own() -> Option<Self> {
        Self::named(std::env::consts::ARCH)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

/// Where blobs are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Supply {
    /// A bundle on the node's own disk or on a volume; see [`crate::place::BUNDLE`].
    Bundle,
    /// Nodes of the site on the same private link, which have it already or are fetching it.
    Siblings,
    /// The plan's origins.
    Origins,
    /// A blob's own URLs.
    Upstream,
}

impl Supply {
    /// All of them, in the order a plan has that says nothing: what is nearest first.
    pub const ALL: [Self; 4] = [Self::Bundle, Self::Siblings, Self::Origins, Self::Upstream];

    /// The word in documents.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Siblings => "siblings",
            Self::Origins => "origins",
            Self::Upstream => "upstream",
        }
    }
}

/// A list of packages, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// The sha256 of the list, canonical JSON.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

/// One file to render: a template's front matter and body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The template's name, for messages: `bird/bird.conf`.
    pub name: String,
    /// Where the file goes, absolute.
    pub path: String,
    /// Its mode, four octal digits: `0640`.
    pub mode: String,
    /// Its owner, `user:group`.
    pub owner: String,
    /// The facts it needs (see [`crate::facts::NAMES`]); the boot stops and lists all that are missing.
    pub needs: Vec<String>,
    /// The secrets it needs (see [`crate::secrets::NAMES`]); a template has them as `secrets.<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// A command that must accept the file before it is put in place; `{}` stands for the path of the candidate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub check: Vec<String>,
    /// The template.
    pub body: String,
}

/// How secrets come onto a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// As a file that cloud-init drops, [`crate::place::SECRETS`].
    UserData,
    /// In the platform's own document about the machine, where the operator puts them.
    Customdata,
    /// As a file on a volume that is put into the machine; see [`crate::place::MEDIUM`].
    Medium,
}

impl Delivery {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::UserData, Self::Customdata, Self::Medium];

    /// The word in documents.
    pub const fn id(self) -> &'static str {
        match self {
            Self::UserData => "user-data",
            Self::Customdata => "customdata",
            Self::Medium => "medium",
        }
    }
}

/// Where events go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Report {
    /// To the platform's own state endpoint, when the metadata names one: beginnings, ends and waits, no progress.
    Platform,
    /// To the URL that is the secret [`crate::secrets::WEBHOOK`], every event, as one JSON document per POST.
    Webhook,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smallest() -> Plan {
        Plan {
            site: "demo".into(),
            platform: "equinix-metal".into(),
            os: "debian-12".into(),
            domain: "example.org".into(),
            anycast: Anycast { v4: vec!["192.0.2.1/32".into()], v6: vec![] },
            bgp: Bgp::default(),
            phases: BTreeSet::from([Phase::Metadata, Phase::Acquire]),
            origins: vec!["https://mirror.example/am".into()],
            components: vec![Component::new(
                "bird",
                "2.0.12",
                Source::HostPackage(HostPackage {
                    package: "bird2".into(),
                    program: "bird".into(),
                    version_argument: "--version".into(),
                }),
            )],
            deadlines: BTreeMap::from([(Phase::Metadata, 900)]),
            reports: vec![Report::Platform, Report::Webhook],
            ..Plan::default()
        }
    }

    #[test]
    fn a_plan_is_read_back_as_it_was_written() {
        let plan = smallest();
        assert_eq!(serde_json::from_str::<Plan>(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    }

    #[test]
    fn a_password_of_the_sessions_is_wanted_when_it_is_a_secret() {
        let mut plan = smallest();
        assert_eq!(plan.wanted_secrets(), BTreeSet::from(["webhook"]));
        plan.reports.clear();
        plan.bgp.password = Some(Password::Secret);
        assert_eq!(plan.wanted_secrets(), BTreeSet::from(["bgp_password"]));
        assert_eq!(serde_json::to_string(&plan.bgp).unwrap(), r#"{"password":"secret"}"#);
    }

    #[test]
    fn the_key_of_the_ca_is_wanted_when_there_is_a_certificate_to_make() {
        let mut plan = smallest();
        plan.reports.clear();
        plan.certificates = vec![Certificate { name: "consul".into(), names: vec!["localhost".into()] }];
        assert_eq!(plan.wanted_secrets(), BTreeSet::from(["cluster_ca"]));
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let text = serde_json::to_string(&smallest()).unwrap().replacen('{', "{\"mood\":\"fine\",", 1);
        let error = serde_json::from_str::<Plan>(&text).unwrap_err().to_string();
        assert!(error.contains("unknown field `mood`"), "{error}");
    }
}
