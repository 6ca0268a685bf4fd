//! The machine in our own words; one room per platform, and no other room knows a platform by name.

pub(crate) struct Machine;
