//! One event: what happened, in a form that lasts.
//! Outputs are open: a reader tolerates unknown fields and unknown words.

use serde::{Deserialize, Serialize};

use crate::{Phase, Reason};

/// The `kind` of every event.
pub const KIND: &str = "anymetal.event";
/// The `version` of the form written here.
pub const VERSION: u32 = 1;

/// One thing that happened on one node. One line of `events.jsonl`, one POST of a webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Always [`KIND`].
    pub kind: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// Counts up by one per event of this node, from 1, across reboots; each of those in `by` counts its own.
    pub seq: u64,
    /// Who tells it, when it is not the first boot: `guard`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// RFC 3339, UTC, to the millisecond; as wrong as the node's clock.
    pub time: String,
    /// The site's name; empty until the plan is read.
    pub site: String,
    /// The node's name: its hostname.
    pub node: String,
    /// The plan digest; empty until the plan is read.
    pub plan: String,
    /// The phase's id; see [`Event::phase`] for the typed form.
    pub phase: String,
    /// What within the phase: an artefact, a file, a unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// Why, when it failed: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One sentence for a person, without a full stop and without a secret.
    pub message: String,
    /// How much is done, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
    /// Of how much, in `unit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The unit of `done` and `total`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
}

impl Event {
    /// The phase, when this reader knows it.
    pub fn phase(&self) -> Option<Phase> {
        Phase::named(&self.phase)
    }

    /// The reason, when there is one and this reader knows it.
    pub fn reason(&self) -> Option<Reason> {
        self.reason.as_deref().and_then(Reason::coded)
    }

    /// Whether this event ends its phase: a phase outcome (no step) that is not a beginning, a progress or a wait.
    pub fn ends_phase(&self) -> bool {
        self.step.is_none() && self.outcome.is_end()
    }
}

/// What became of a phase or a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It began.
    Started,
    /// It goes on; `done` of `total` says how far.
    Progress,
    /// It waits for something outside, named in the message; it will try again.
    Waiting,
    /// It is true now and was not before.
    Done,
    /// It was true already; nothing was changed.
    Same,
    /// It is not part of this plan; nothing was tried.
    Absent,
    /// It will not become true; `reason` says why.
    Failed,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

impl Outcome {
    /// Whether nothing more is to be expected.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Same | Self::Absent | Self::Failed)
    }

    /// Whether what needs this may go on.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Done | Self::Same | Self::Absent)
    }

    /// The word used in events and on the console.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Waiting => "waiting",
            Self::Done => "done",
            Self::Same => "same",
            Self::Absent => "absent",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What `done` and `total` count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Seconds, of a wait: `done` of the budget `total`.
    Seconds,
    /// Things: files, artefacts, services.
    Items,
    /// A unit of a later version.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_tolerates_fields_and_words_of_a_later_version() {
        let later = r#"{"kind":"anymetal.event","version":1,"seq":7,"time":"2026-11-22T10:00:00.000Z","site":"demo","node":"n1","plan":"",
            "phase":"orbit","outcome":"transcended","reason":"not-invented-yet","message":"m","unit":"parsecs","mood":"fine"}"#;
        let event: Event = serde_json::from_str(later).unwrap();
        assert_eq!(
            (event.phase(), event.outcome, event.reason(), event.unit),
            (None, Outcome::Unknown, None, Some(Unit::Unknown))
        );
    }

    #[test]
    fn what_is_not_there_is_not_written() {
        let event = Event {
            kind: KIND.into(),
            version: VERSION,
            seq: 1,
            by: None,
            time: "2026-11-22T10:00:00.000Z".into(),
            site: "demo".into(),
            node: "n1".into(),
            plan: String::new(),
            phase: Phase::Wake.id().into(),
            step: None,
            outcome: Outcome::Done,
            reason: None,
            message: "first run".into(),
            done: None,
            total: None,
            unit: None,
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"kind":"anymetal.event","version":1,"seq":1,"time":"2026-11-22T10:00:00.000Z","site":"demo","node":"n1","plan":"","phase":"wake","outcome":"done","message":"first run"}"#
        );
    }

    #[test]
    fn the_word_of_an_outcome_is_what_is_written() {
        for outcome in [
            Outcome::Started,
            Outcome::Progress,
            Outcome::Waiting,
            Outcome::Done,
            Outcome::Same,
            Outcome::Absent,
            Outcome::Failed,
        ] {
            assert_eq!(serde_json::to_string(&outcome).unwrap(), format!("\"{}\"", outcome.word()));
        }
    }
}
