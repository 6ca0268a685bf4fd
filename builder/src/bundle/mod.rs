//! The `bundle` form: one tar with a plan, its inits, its lists of packages and every archive they pin, by digest.
//! May not open a file but through `sys/bundle`. The form itself is `anymetal_supply::bundle`, which reads what is written here.

mod contents;
mod stream;

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use anymetal_supply::bundle::Bundle;

use crate::sys::bundle::{self, Beside};
pub use contents::{Cargo, Layout, Named, blobs, index};

impl Layout<'_> {
    /// Whether this bundle is what would be written: its index, release and signature by their bytes, its members by name, size and place. Blobs are
    /// not hashed: that is `anymetal verify`, and what it is for.
    fn is(&self, bundle: &Bundle) -> bool {
        let member = |name: &str| self.bytes_of(name);
        member(anymetal_contract::bundle::INDEX) == Some(bundle.index_text())
            && member(anymetal_contract::release::FILE) == Some(bundle.release_text())
            && member(anymetal_contract::release::SIGNATURE) == bundle.signature()
    }

    /// Whether it lies at that place already.
    pub fn is_at(&self, path: &Path) -> Result<bool> {
        let opened = bundle::opened(path)?.map(Bundle::open);
        Ok(opened.is_some_and(|opened| opened.is_ok_and(|bundle| self.is(&bundle))))
    }

    /// Writes the tar beside its place in the folder `out`. Every blob is hashed on its way; the error names the file that is not what its name says.
    pub fn beside(&self, out: &Path) -> Result<Beside> {
        bundle::beside(out, |file| self.write(file))
    }

    /// Writes the tar.
    pub fn write(&self, to: &mut File) -> Result<()> {
        stream::write(self, to)
    }
}

#[cfg(test)]
mod tests;
