//! Where this node stands, as one document: `status.json`, made from the events.
//! May not write or print it.

use std::time::Duration;

use anymetal_contract::{Event, Outcome, Phase, Unit};
use serde::{Deserialize, Serialize};

const KIND: &str = "anymetal.status";
const VERSION: u32 = 1;
/// The step whose message is a warning.
const WARNING: &str = "warning";
/// So many warnings are kept.
const WARNINGS_MOST: usize = 20;

/// The document. An output: readers tolerate what they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) site: String,
    pub(crate) node: String,
    /// The plan digest; empty until the plan is read.
    pub(crate) plan: String,
    /// The digest of the release; empty until it is read, and where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) release: String,
    /// The serial of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<u64>,
    pub(crate) state: State,
    /// The phases that have begun or are not part of the plan, in the order of the list.
    pub(crate) phases: Vec<Row>,
    /// What this run has warned of, each once, the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// The first failure, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<Failure>,
    /// The latest event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Event>,
}

/// How the boot goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Running,
    Up,
    Failed,
    /// A word of a later version.
    #[serde(other)]
    Unknown,
}

/// One phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) phase: String,
    pub(crate) outcome: Outcome,
    pub(crate) message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) done: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<Unit>,
    /// How long it took, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seconds: Option<u64>,
}

/// What failed first, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    pub(crate) phase: String,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl Status {
    pub(crate) fn new(node: &str) -> Self {
        Self {
            kind: KIND.to_owned(),
            version: VERSION,
            site: String::new(),
            node: node.to_owned(),
            plan: String::new(),
            release: String::new(),
            serial: None,
            state: State::Running,
            phases: Vec::new(),
            warnings: Vec::new(),
            failure: None,
            last: None,
        }
    }

    /// Takes one event in. `took` is how long the phase took, when the event ends it.
    pub(crate) fn take(&mut self, event: &Event, took: Option<Duration>) {
        self.site.clone_from(&event.site);
        self.plan.clone_from(&event.plan);
        self.last = Some(event.clone());
        self.put(event, took);
        let warns = event.step.as_deref() == Some(WARNING) && !self.warnings.contains(&event.message);
        if warns && self.warnings.len() < WARNINGS_MOST {
            self.warnings.push(event.message.clone());
        }
        if !event.ends_phase() {
            return;
        }
        if event.outcome == Outcome::Failed && self.failure.is_none() {
            self.failure = Some(Failure {
                phase: event.phase.clone(),
                reason: event.reason.clone().unwrap_or_default(),
                message: event.message.clone(),
                hint: event.reason().map(|reason| reason.hint().to_owned()).unwrap_or_default(),
            });
        }
        if event.phase() == Some(Phase::Settle) {
            self.state = if event.outcome == Outcome::Failed { State::Failed } else { State::Up };
        }
    }

    fn put(&mut self, event: &Event, took: Option<Duration>) {
        let order = |id: &str| Phase::named(id).map_or(usize::MAX, Phase::number);
        let row = Row {
            phase: event.phase.clone(),
            outcome: if event.step.is_some() { Outcome::Progress } else { event.outcome },
            message: event.step.iter().fold(event.message.clone(), |message, step| format!("{step}: {message}")),
            done: event.done,
            total: event.total,
            unit: event.unit,
            seconds: took.map(|took| took.as_secs()),
        };
        match self.phases.iter().position(|other| order(&other.phase) >= order(&row.phase)) {
            Some(place) if self.phases[place].phase == row.phase => self.phases[place] = row,
            Some(place) => self.phases.insert(place, row),
            None => self.phases.push(row),
        }
    }
}

#[cfg(test)]
mod tests {
    use anymetal_contract::Reason;

    use super::*;
    use crate::report::tests::event;

    #[test]
    fn rows_stand_in_the_order_of_the_list_and_say_the_latest() {
        let mut status = Status::new("n1");
        status.take(&event(Phase::Acquire, Outcome::Started), None);
        status.take(&event(Phase::Metadata, Outcome::Started), None);
        let progress = Event {
            step: Some("consul".into()),
            message: "1.0 of 2.0 MB".into(),
            done: Some(1_000_000),
            total: Some(2_000_000),
            unit: Some(Unit::Bytes),
            ..event(Phase::Acquire, Outcome::Progress)
        };
        status.take(&progress, None);
        status.take(&event(Phase::Metadata, Outcome::Done), Some(Duration::from_secs(7)));
        let rows: Vec<_> = status
            .phases
            .iter()
            .map(|row| (row.phase.as_str(), row.outcome, row.message.as_str(), row.seconds))
            .collect();
        assert_eq!(
            rows,
            [("metadata", Outcome::Done, "m", Some(7)), ("acquire", Outcome::Progress, "consul: 1.0 of 2.0 MB", None)]
        );
        assert_eq!((status.phases[1].done, status.state), (Some(1_000_000), State::Running));
    }

    #[test]
    fn the_first_failure_is_kept_with_its_hint_and_settle_ends_the_boot() {
        let mut status = Status::new("n1");
        for (phase, reason) in [(Phase::Acquire, Reason::ArtefactMismatch), (Phase::Metadata, Reason::MetadataNoBgp)] {
            status.take(&Event { reason: Some(reason.code().into()), ..event(phase, Outcome::Failed) }, None);
        }
        assert_eq!(status.state, State::Running);
        status.take(&event(Phase::Settle, Outcome::Failed), None);
        assert_eq!(status.state, State::Failed);
        let failure = status.failure.unwrap();
        assert_eq!((failure.phase.as_str(), failure.reason.as_str()), ("acquire", "artefact-mismatch"));
        assert_eq!(failure.hint, Reason::ArtefactMismatch.hint());
        let mut good = Status::new("n1");
        good.take(&event(Phase::Settle, Outcome::Done), None);
        assert_eq!((good.state, good.failure), (State::Up, None));
    }
}
