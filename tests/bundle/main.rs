//! Bundles as an operator meets them: built, read by plain `tar`, verified, compared.
//! May not need a real archive: bytes that stand for one are pinned here.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a suite: starts programs and looks at what they leave"
)]

mod built;
mod desk;
mod flips;
mod words;
