//! The release: everything that a node of a site runs, each by its digest, under one serial. It is what is signed, and its digest is what
//! user-data pins. May not name anything that depends on itself: the index of a bundle names its release, never the other way round.
//!
//! Canonical JSON, as the plan. A node fetches it, and then the plan, as it fetches everything else: by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::plan::Arch;

/// The `kind` of every release.
pub const KIND: &str = "anymetal.release";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;

/// The name of the file, in a bundle and beside the plan.
pub const FILE: &str = "release.json";
/// Its detached signature, in minisign's form.
pub const SIGNATURE: &str = "release.json.minisig";

/// What a site's nodes run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The site's name. A node takes no release of another site.
    pub site: String,
    /// Counts up, as the author of the site says. A node takes none with a lower serial than it has seen.
    pub serial: u64,
    /// The plan.
    pub plan: Pinned,
    /// `anymetal-init`, for each architecture.
    pub inits: BTreeMap<Arch, Pinned>,
    /// The script that fetches init, [`crate::place::FETCH`].
    pub stub: Digest,
    /// The unit that runs both, [`crate::place::UNIT`].
    pub unit: Digest,
    /// What the operator's own cloud-config adds to ours, as YAML as the builder writes it; left out when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_config: Option<Digest>,
    /// Who may sign the next release: public keys in minisign's form, in the site's order. None: nobody has to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<String>,
}

/// A blob by its digest and size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Its digest.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
}

impl Release {
    /// The digest of each init.
    pub fn init_digests(&self) -> BTreeMap<Arch, Digest> {
        self.inits.iter().map(|(arch, init)| (*arch, init.sha256.clone())).collect()
    }
}
