//! The form `bundle`: written beside its place, and nothing done when what is there already is the same.
//! May not say what is in a bundle: `crate::bundle` does.

use std::path::Path;

use super::made::Made;
use super::{Args, BUNDLE, Failed};
use crate::bundle::{Cargo, Layout};
use crate::sys::bundle::Beside;
use crate::sys::{blobs, cache};
use anymetal_contract::Plan;

/// A bundle that is whole, beside its place; or nothing, when what is there already is the same.
pub(super) struct Bundled {
    new: Option<Beside>,
    pub(super) size: u64,
    pub(super) blobs: usize,
}

/// The bundle, written beside its place when it is not there already.
pub(super) fn bundle(made: &Made, drafted: &Plan, args: &Args) -> Result<Bundled, Failed> {
    let cache = args.cache.clone().map_or_else(cache::root, Ok)?;
    let cached = blobs::list(&[cache])?;
    let cargo = Cargo {
        plan: drafted,
        text: &made.plan,
        release: (&made.text, &made.release),
        signature: made.signature.as_ref().map(String::as_bytes),
        inits: &made.inits,
        lists: &made.lists,
        cached: &cached,
    };
    let layout = Layout::of(cargo).map_err(Failed::Input)?;
    let there = layout.is_at(&args.output.join(BUNDLE))?;
    let new = if there { None } else { Some(layout.beside(&args.output)?) };
    Ok(Bundled { new, size: layout.size(), blobs: layout.blobs() })
}

impl Bundled {
    /// Puts it in its place.
    pub(super) fn put(self, out: &Path) -> anyhow::Result<()> {
        self.new.map_or(Ok(()), |new| new.put(&out.join(BUNDLE)))
    }
}
