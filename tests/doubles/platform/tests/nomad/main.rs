//! What the platform needs of Nomad, asked of the double; and of a real one when `ANYMETAL_REAL_NOMAD` names its program (as root).
//! May not know which of the two it asks.
#![allow(clippy::unwrap_used, reason = "a suite")]

mod access;
mod agent;
mod consul;
mod jobs;
mod trouble;
