//! Values for the closed list of names templates may use: a pure function of plan, machine and host.

pub(crate) struct Facts;
