//! BIRD, the BGP speaker: what has to be known of it besides its own words, and the conversation with it.
//! May not write its configuration: the template does.

mod control;
#[cfg(test)]
mod conversation_tests;
mod holding;
mod password;
mod reply;
mod table;
#[cfg(test)]
mod transcript_tests;

use std::time::Duration;

pub(crate) use control::Control;
pub(crate) use holding::{Holding, actual};
pub(crate) use password::unusable;
pub(crate) use table::{Protocol, established};

/// How long BIRD may take over one command when nothing but the asker waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
