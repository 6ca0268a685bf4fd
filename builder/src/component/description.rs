//! `component.yaml`, as it is written: every word a description may have, and what it means.
//! May not hold a fact of any component: those are in `templates/<component>/component.yaml`.

use std::collections::BTreeMap;

use anymetal_contract::Digest;
use anymetal_contract::plan::{self, Acl, Arch, Format, Member, Namespace, Policy, Ready};
use serde::Deserialize;

use super::version::{Range, Version};

/// The whole of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub name: String,
    pub default: Version,
    pub lowest: Lowest,
    #[serde(default)]
    pub optional: bool,
    #[serde(default)]
    pub under: Option<String>,
    #[serde(default)]
    pub barred: Vec<Barred>,
    #[serde(default)]
    pub clashes: Vec<Clash>,
    #[serde(default)]
    pub features: Vec<Part>,
    #[serde(default)]
    pub artefacts: Option<Artefacts>,
    #[serde(default)]
    pub host_package: Option<HostPackage>,
    #[serde(default)]
    pub packages: BTreeMap<String, Vec<Part>>,
    #[serde(default)]
    pub missing: BTreeMap<String, BTreeMap<String, String>>,
    /// SPDX expressions, for the bill of materials.
    pub licences: Vec<Part>,
    #[serde(default)]
    pub purl: Option<String>,
    #[serde(default)]
    pub user: Option<String>,
    /// The names and addresses that its certificate is good for, when it has one.
    #[serde(default)]
    pub certificate: Vec<String>,
    pub files: Vec<String>,
    pub services: Vec<Service>,
    #[serde(default)]
    pub jobs: Vec<String>,
}

/// The lowest version that can work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lowest {
    /// That version.
    pub version: Version,
    /// What is missing below it, as the end of a sentence.
    pub why: String,
}

/// Versions that must not be used at all.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WrittenBarred")]
pub struct Barred {
    /// Which.
    pub versions: Range,
    /// Why, as the end of a sentence.
    pub why: String,
    /// What to write instead.
    pub hint: String,
}

/// Versions that cannot work together with versions of another component.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clash {
    /// Of this component.
    pub versions: Range,
    /// Of each of these; one of them is enough.
    pub with: BTreeMap<String, Range>,
    /// Why, as the end of a sentence.
    pub why: String,
    /// What to write instead.
    pub hint: String,
}

/// A word that holds of some versions: a feature, a package.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WrittenPart")]
pub struct Part {
    /// The word.
    pub name: String,
    /// The versions it holds of.
    pub versions: Range,
}

/// Upstream's archives of a component.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefacts {
    /// What kind of archive.
    pub format: Format,
    /// What is taken out of it; `{arch}` in a member's path stands for what upstream writes.
    members: Vec<Member>,
    /// Where upstream has it; `{version}` and `{arch}` stand for what they say.
    url: String,
    /// How upstream writes an architecture.
    arch: BTreeMap<Arch, String>,
    /// Architectures that not every version was built for.
    #[serde(default)]
    pub architectures: BTreeMap<Arch, Known>,
    /// Where upstream says what the archives' digests are.
    checksums: Checksums,
    /// Known digests: version, architecture.
    digests: BTreeMap<Version, BTreeMap<Arch, Digest>>,
}

/// A file of checksums; `{version}` in its URLs stands for what it says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksums {
    /// Whose file it is, and whose the archives: a name of `templates/sources.yaml`.
    pub source: String,
    /// Where it is.
    pub url: String,
    /// Where its detached OpenPGP signature is, by one of the source's keys; of others nobody signs it.
    #[serde(default)]
    pub signature: Option<String>,
}

/// What is known of the versions that upstream built for an architecture. Of those in between nobody knows.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// The first that is known to be there.
    pub since: Version,
    /// The last that is known not to be there.
    pub absent: Version,
}

impl Artefacts {
    /// Where upstream has this version for this architecture, when upstream builds for it.
    pub fn url(&self, version: Version, arch: Arch) -> Option<String> {
        let arch = self.arch.get(&arch)?;
        Some(self.url.replace("{version}", &version.to_string()).replace("{arch}", arch))
    }

    /// Where upstream has the file of checksums of this version.
    pub fn checksums(&self, version: Version) -> Checksums {
        let of = |url: &String| url.replace("{version}", &version.to_string());
        let Checksums { source, url, signature } = &self.checksums;
        Checksums { source: source.clone(), url: of(url), signature: signature.as_ref().map(of) }
    }

    /// What is taken out of the archive for this architecture.
    pub fn members(&self, arch: Arch) -> Vec<Member> {
        let upstreams = self.arch.get(&arch).map_or(arch.id(), String::as_str);
        let of = |member: &Member| Member { member: member.member.replace("{arch}", upstreams), ..member.clone() };
        self.members.iter().map(of).collect()
    }

    /// The digest of this version for this architecture, when it is known.
    pub fn digest(&self, version: Version, arch: Arch) -> Option<&Digest> {
        self.digests.get(&version)?.get(&arch)
    }

    /// The versions whose digest is known for this architecture.
    pub fn pinned(&self, arch: Arch) -> impl Iterator<Item = Version> {
        self.digests.iter().filter(move |(_, digests)| digests.contains_key(&arch)).map(|(version, _)| *version)
    }
}

/// A program of the operating system.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "WrittenHostPackage")]
pub struct HostPackage {
    /// Which.
    pub package: plan::HostPackage,
    /// The version each operating system has.
    pub os: BTreeMap<String, Version>,
}

/// A unit of a component; see [`plan::Service`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The unit.
    pub unit: String,
    /// The files it depends on, by their name in the folder.
    pub files: Vec<String>,
    /// Whether a changed file needs only a reload.
    pub reload: bool,
    /// Files of its data that are fatal when they are empty.
    #[serde(default)]
    pub data: Option<plan::Data>,
    /// When it counts as ready.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub ready: Ready,
    /// Who may do what with it.
    #[serde(default)]
    pub access: Option<Access>,
}

/// Access control of a service; see [`plan::Access`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Whose.
    pub of: Acl,
    /// The API's base URL.
    pub api: String,
    /// The secret that is the management token.
    pub management: String,
    /// The token of the guard, one of the tokens below.
    #[serde(default)]
    pub reader: Option<String>,
    /// Policies, by name.
    pub policies: BTreeMap<String, Policy>,
    /// Tokens, and for which component each is.
    pub tokens: Vec<Token>,
    /// Namespaces by name.
    #[serde(default)]
    pub namespaces: BTreeMap<String, Namespace>,
}

/// A token and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The secret that it is.
    pub secret: String,
    /// The policies it has.
    pub policies: Vec<String>,
    /// The component that uses it, when it is another than the service's own: without that there is no token.
    #[serde(default)]
    pub component: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBarred {
    #[serde(default)]
    from: Option<Version>,
    #[serde(default)]
    to: Option<Version>,
    why: String,
    hint: String,
}

impl From<WrittenBarred> for Barred {
    fn from(WrittenBarred { from, to, why, hint }: WrittenBarred) -> Self {
        Self { versions: Range { from, to }, why, hint }
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a word, or a mapping of `name`, `from` and `to`")]
enum WrittenPart {
    Always(String),
    Sometimes(Sometimes),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sometimes {
    name: String,
    #[serde(default)]
    from: Option<Version>,
    #[serde(default)]
    to: Option<Version>,
}

impl From<WrittenPart> for Part {
    fn from(written: WrittenPart) -> Self {
        match written {
            WrittenPart::Always(name) => Self { name, versions: Range::default() },
            WrittenPart::Sometimes(Sometimes { name, from, to }) => Self { name, versions: Range { from, to } },
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHostPackage {
    package: String,
    program: String,
    version_argument: String,
    #[serde(default)]
    os: BTreeMap<String, Version>,
}

impl From<WrittenHostPackage> for HostPackage {
    fn from(WrittenHostPackage { package, program, version_argument, os }: WrittenHostPackage) -> Self {
        Self { package: plan::HostPackage { package, program, version_argument }, os }
    }
}
