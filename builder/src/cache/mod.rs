//! The builder's blobs by digest: found, fetched, looked over, thrown away. They lie in `<cache>/sha256/<hex>`.
//! May not decide what a site needs: its plan does.

mod care;
mod crew;
mod fetch;
mod opened;
mod show;
mod sought;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use anymetal_contract::Digest;
use anymetal_supply::store::Store;

use crate::plan::Need;
use crate::sys::{blobs, cache};
pub use care::{Damaged, Surplus, surplus, verify};
pub use fetch::{Had, How, fetch};
pub use opened::refused;
pub use show::Show;
pub use sought::{Sought, needs, sought};

/// Blobs by digest, of all sites of this user.
pub struct Cache {
    root: PathBuf,
    store: Store,
}

impl Cache {
    /// The cache in that folder, or this user's. Its folders are made, for this user alone.
    pub fn open(folder: Option<&Path>) -> Result<Self> {
        let root = folder.map_or_else(cache::root, |folder| Ok(folder.to_owned()))?;
        let store = Store::open(root.join("sha256"))?;
        Ok(Self { root, store })
    }

    /// Where it is: what `sha256/<hex>` is below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The files themselves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Every blob that is there, with its size in bytes.
    pub fn blobs(&self) -> Result<BTreeMap<Digest, u64>> {
        let found = blobs::list(std::slice::from_ref(&self.root))?;
        Ok(found.into_iter().map(|(digest, (_, size))| (digest, size)).collect())
    }

    /// Every blob that is not whole yet, with the bytes that are there.
    pub fn parts(&self) -> Result<BTreeMap<Digest, u64>> {
        blobs::parts(&self.root)
    }

    /// Whether the blob is there, judged without reading it: its bytes were right when it came, and its length is what it should be.
    pub fn trusts(&self, need: &Need) -> bool {
        self.store.size(&need.sha256).is_some_and(|size| need.size.is_none_or(|wanted| wanted == size))
    }
}
