//! A bundle: one tar with everything the nodes of a site need, and what is in it by name.
//! May not open one: `anymetal-supply` reads, the builder writes.
//!
//! Members, in this order: [`INDEX`], [`crate::release::FILE`], [`crate::release::SIGNATURE`] when it is signed, then every blob as `sha256/<hex>`
//! ([`crate::place::blob`]), by digest; the release and the plan are among them. Unpacked into a web root it is an origin.
//! The index is signed by nobody, and may say nothing that the release does not say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::plan::Arch;

/// The `kind` of every index.
pub const KIND: &str = "anymetal.bundle";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;

/// The index, canonical JSON: the first member.
pub const INDEX: &str = "index.json";
/// The name of the plan's file beside a release; in a bundle the plan is a blob.
pub const PLAN: &str = "plan.json";

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The site's name.
    pub site: String,
    /// The digest of the release.
    pub release: Digest,
    /// The plan digest, which the release pins.
    pub plan: Digest,
    /// The `anymetal-init` for each architecture, which the release pins.
    pub inits: BTreeMap<Arch, Digest>,
    /// Every blob, by digest.
    pub blobs: Vec<Blob>,
}

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// Its digest.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// What it is, for people: `consul 1.21.5 x86_64`. Of a blob that is several things, all of them, separated by commas.
    pub name: String,
}
