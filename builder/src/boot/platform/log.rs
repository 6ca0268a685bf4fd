//! What has happened on the simulated platform: questions, states, calls, events, and what broke a rule.
//! May not judge: whoever adds a violation has.

use std::collections::BTreeSet;
use std::time::Duration;

use anymetal_contract::Event;

use super::device::State;
use super::states::{Call, UserState};

/// One question and how it was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Since the platform began.
    pub at: Duration,
    /// `GET`, `POST`, …
    pub method: String,
    /// Without the query.
    pub path: String,
    /// What was sent with it.
    pub body: Vec<u8>,
    /// The status of the answer.
    pub status: u16,
}

/// Everything that has happened.
#[derive(Debug, Clone, Default)]
pub struct Log {
    /// Where the platform answers, as its machines see it.
    pub(super) base: String,
    /// When metadata was first asked for.
    pub(super) first_metadata: Option<Duration>,
    /// Every question, in order.
    pub questions: Vec<Question>,
    /// Every user state that was taken.
    pub user_states: Vec<UserState>,
    /// Every call home.
    pub calls: Vec<Call>,
    /// Every event of the webhook, each once.
    pub events: Vec<Event>,
    /// Every rule that was broken, in words.
    pub violations: Vec<String>,
    pub(super) seen: BTreeSet<String>,
}

impl Log {
    /// What became of the device.
    pub fn state(&self) -> State {
        self.calls.iter().fold(State::Provisioning, |state, call| match call {
            Call::Active => State::Active,
            Call::Failed(_) => State::Failed,
            Call::Event(_) | Call::Noise => state,
        })
    }

    /// Questions for this path, in order.
    pub fn asked(&self, path: &str) -> impl Iterator<Item = &Question> {
        self.questions.iter().filter(move |question| question.path == path)
    }

    /// Keeps an event unless it was here before: events come at least once. Compared whole, as a node whose power was cut may have lost
    /// count and use a number twice.
    pub(super) fn keep(&mut self, event: Event) -> bool {
        let text = serde_json::to_string(&event).expect("an event is plain JSON");
        let new = self.seen.insert(text);
        if new {
            self.events.push(event);
        }
        new
    }
}
