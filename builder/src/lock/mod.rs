//! `site.lock`: what every name and version of a site was resolved to, by digest.
//! May not make a plan of it: `plan` does.

pub mod debian;
pub mod document;
pub mod fit;
pub mod list;
pub mod openpgp;
pub mod packages;
pub mod resolve;
mod sums;
pub mod trouble;
pub mod upstream;

pub use document::Lock;
