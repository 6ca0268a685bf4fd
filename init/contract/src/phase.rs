//! The phases of a first boot, by name and in order.
//! What each needs and does is the boot's business (`init/src/boot.rs`), not this room's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A phase of the first boot. The order of the variants is the order in which a person reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Who this machine is, which plan it has, where it left off.
    Wake,
    /// The plan is read and its digest is known.
    Plan,
    /// The machine in our own words, from the platform's metadata service.
    Metadata,
    /// Every artefact is in the content store, verified.
    Acquire,
    /// Every component is unpacked at its place.
    Install,
    /// The closed list of names templates may use has values.
    Facts,
    /// Rendered files and units are in place.
    Files,
    /// The host's services run and are ready.
    Services,
    /// The cluster's jobs run and are healthy.
    Jobs,
    /// The chain of proofs has passed, end to end.
    Prove,
    /// The anycast address is announced.
    Announce,
    /// The final report has been accepted, or kept.
    Settle,
}

impl Phase {
    /// All phases, in order.
    pub const ALL: [Self; 12] = [
        Self::Wake,
        Self::Plan,
        Self::Metadata,
        Self::Acquire,
        Self::Install,
        Self::Facts,
        Self::Files,
        Self::Services,
        Self::Jobs,
        Self::Prove,
        Self::Announce,
        Self::Settle,
    ];

    /// The name used in plans, events and on the console.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Wake => "wake",
            Self::Plan => "plan",
            Self::Metadata => "metadata",
            Self::Acquire => "acquire",
            Self::Install => "install",
            Self::Facts => "facts",
            Self::Files => "files",
            Self::Services => "services",
            Self::Jobs => "jobs",
            Self::Prove => "prove",
            Self::Announce => "announce",
            Self::Settle => "settle",
        }
    }

    /// The phase of that name.
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.id() == id)
    }

    /// One-based place in the order: 1 for `wake`, 12 for `settle`.
    pub fn number(self) -> usize {
        self as usize + 1
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_name_the_id_and_the_number_agree() {
        for (place, phase) in Phase::ALL.into_iter().enumerate() {
            assert_eq!(serde_json::to_string(&phase).unwrap(), format!("\"{}\"", phase.id()));
            assert_eq!(Phase::named(phase.id()), Some(phase));
            assert_eq!(phase.number(), place + 1);
        }
        assert_eq!(Phase::named("lunch"), None);
    }
}
