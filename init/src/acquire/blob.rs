//! The blobs that this machine needs: artefacts of components, the list of packages, and packages that the machine does not have.
//! May not fetch one.

use std::collections::BTreeSet;

use anymetal_contract::Digest;
use anymetal_contract::packages::Package;
use anymetal_contract::plan::Listed;

use super::artefact;
use crate::world::World;
use anymetal_supply::failure::Failure;

/// What a blob is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Artefact,
    List,
    Package,
}

/// A blob that is wanted, by its digest.
pub(super) struct Blob<'a> {
    pub(super) kind: Kind,
    /// The step's name: the component, the package.
    pub(super) name: &'a str,
    /// Name and version, for messages.
    pub(super) title: String,
    pub(super) sha256: &'a Digest,
    /// In bytes, when it is known.
    pub(super) size: Option<u64>,
    /// Upstream's.
    pub(super) urls: &'a [String],
}

/// The artefacts, each digest once.
pub(super) fn artefacts(world: &World) -> Result<Vec<Blob<'_>>, Failure> {
    let (mut seen, mut all) = (BTreeSet::new(), Vec::new());
    for component in &world.plan().components {
        let Some(artefact) = artefact(world, component)? else { continue };
        if seen.insert(&artefact.sha256) {
            all.push(Blob {
                kind: Kind::Artefact,
                name: &component.name,
                title: format!("{} {}", component.name, component.version),
                sha256: &artefact.sha256,
                size: artefact.size,
                urls: &artefact.urls,
            });
        }
    }
    Ok(all)
}

/// The list of packages, which nobody but us has made: it is at origins and in bundles.
pub(super) fn list(listed: &Listed) -> Blob<'_> {
    let (name, title) = ("packages", "the list of packages".to_owned());
    Blob { kind: Kind::List, name, title, sha256: &listed.sha256, size: Some(listed.size), urls: &[] }
}

/// A package of the list.
pub(super) fn package(package: &Package) -> Blob<'_> {
    Blob {
        kind: Kind::Package,
        name: &package.name,
        title: format!("package {} {}", package.name, package.version),
        sha256: &package.sha256,
        size: Some(package.size),
        urls: &package.urls,
    }
}
