//! The packages of the operating system that a node installs, each pinned: a list the plan pins by digest, one for each architecture.
//! May not resolve anything: `anymetal lock` does.
//!
//! A list of its own, because a plan travels in user-data, which has room for one digest and not for fifty.

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::plan::Arch;

/// The `kind` of every list.
pub const KIND: &str = "anymetal.packages";
/// The `version` of the form described here.
pub const VERSION: u32 = 1;

/// What is installed over the operating system's base, in an order in which it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packages {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// The operating system: `debian-12`.
    pub os: String,
    /// For which machines.
    pub arch: Arch,
    /// Whoever needs another comes after it, but for circles.
    pub packages: Vec<Package>,
}

/// One Debian package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Its name: `bird2`.
    pub name: String,
    /// Its version, as dpkg writes it: `2.0.12-7`.
    pub version: String,
    /// The sha256 of the `.deb`.
    pub sha256: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Full URLs it can be had from, tried in this order after the plan's origins.
    pub urls: Vec<String>,
}
