//! A failure that is reported: a stable reason and the chain of what happened.
//! May not print: the runner does, once.

use std::fmt;

use anymetal_contract::Reason;

/// What a phase fails with. The reason is for programs, the error chain for people.
#[derive(Debug)]
pub struct Failure {
    /// The stable word.
    pub reason: Reason,
    /// What happened, outermost first.
    pub error: anyhow::Error,
}

impl Failure {
    /// A failure that has no cause below it.
    pub fn new(reason: Reason, message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Self {
        Self { reason, error: anyhow::Error::msg(message) }
    }

    /// The whole chain on one line, outermost first.
    pub fn chain(&self) -> String {
        format!("{:#}", self.error)
    }
}

/// Gives a reason to an error that has none yet.
pub trait Because<T> {
    /// `reason` unless the chain says that a disk is full, which is its own reason whoever meets it.
    fn because(self, reason: Reason) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> Because<T> for Result<T, E> {
    fn because(self, reason: Reason) -> Result<T, Failure> {
        self.map_err(|error| {
            let error = error.into();
            let full = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(|cause| {
                matches!(cause.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            });
            Failure { reason: if full { Reason::DiskFull } else { reason }, error }
        })
    }
}
