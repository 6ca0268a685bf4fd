//! What a plan installs: components, and where each comes from.
//! May not say what is rendered or started for one: files, services and jobs do.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Arch;
use crate::Digest;

/// One component: a program and how it comes onto the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Its name: `consul`.
    pub name: String,
    /// Its version, or for a host package the lowest that will do: `1.8.7`.
    pub version: String,
    /// Where it comes from.
    pub source: Source,
    /// What holds of this version and not of every version of it, in the words of its description: `notify`. For templates.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// Packages of the operating system its programs need; what is missing is installed from the system's own archive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// A system user of its own, without a shell, whose home `/var/lib/<user>` nobody else may enter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

impl Component {
    /// A component that asks nothing of the system, and has no features.
    pub fn new(name: impl Into<String>, version: impl Into<String>, source: Source) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            source,
            features: BTreeSet::new(),
            packages: Vec::new(),
            user: None,
        }
    }
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// From archives, one per architecture, unpacked to `/opt/anymetal/<component>/<version>/`.
    Artefacts(BTreeMap<Arch, Artefact>),
    /// From the operating system, which must have it already.
    HostPackage(HostPackage),
}

/// One archive, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefact {
    /// The sha256 of the archive.
    pub sha256: Digest,
    /// Its size in bytes, when it is known; a transfer of another length is refused early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What kind of archive.
    pub format: Format,
    /// What is taken out of it.
    pub members: Vec<Member>,
    /// Full URLs it can be had from, tried in this order after the plan's origins.
    pub urls: Vec<String>,
}

/// The kind of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    /// A zip archive (HashiCorp).
    #[serde(rename = "zip")]
    Zip,
    /// A gzipped tar archive (Traefik, Bindle, Hippo, Spin).
    #[serde(rename = "tar.gz")]
    TarGz,
}

/// One member of an archive and the name it gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// The member's path in the archive: `consul`. With a slash at its end, `linux-x64/`, it is every file below that folder.
    pub member: String,
    /// The file's name below the component's folder: `consul`. Of a folder, where its files go: `.` for the component's folder itself.
    pub file: String,
    /// Whether it is a program. Of a folder's files, those are that the archive says are.
    pub executable: bool,
}

/// A program of the operating system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostPackage {
    /// The package's name, for messages: `bird2`.
    pub package: String,
    /// The program, looked up on PATH: `bird`.
    pub program: String,
    /// The argument that makes it print its version: `--version`.
    pub version_argument: String,
}
