//! A site: what an author writes, and how it is checked.

pub mod model;

pub use model::Site;
