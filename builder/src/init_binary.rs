//! The static init of each architecture: found, asked for its abilities, pinned.
