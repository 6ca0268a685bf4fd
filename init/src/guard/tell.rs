//! What the guard says: events of changes, and once each, what is amiss with BIRD, addresses and files.
//! May not hold up who says it: disks and networks are waited for in the teller's own thread.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anymetal_contract::{Outcome, Phase, Reason};

use super::course::{Change, Stance};
use crate::report::{Journal, Said};

/// So many things may wait to be said; a guard that changes faster than that onto a disk that hangs loses words, not the route.
const WAITING: usize = 64;

/// The mouth.
pub(super) struct Teller {
    words: SyncSender<Word>,
    /// What is amiss with what, so that it is said once.
    troubles: Mutex<BTreeMap<&'static str, String>>,
    prefixes: String,
}

enum Word {
    Event { outcome: Outcome, reason: Option<Reason>, message: String },
    Aside(String),
}

impl Teller {
    /// `plan` is asked for the digest of the plan that is in force when something is told: it may be another than at the guard's start.
    pub(super) fn new(
        journal: Arc<Journal>,
        site: String,
        prefixes: String,
        plan: impl Fn() -> String + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (words, heard) = mpsc::sync_channel(WAITING);
        super::thread("teller", move || {
            while let Ok(word) = heard.recv() {
                journal.identify(&site, &plan());
                say(&journal, word);
            }
        })?;
        Ok(Self { words, troubles: Mutex::default(), prefixes })
    }

    /// The guard has begun, in this stance.
    pub(super) fn started(&self, stance: Stance) {
        let prefixes = &self.prefixes;
        let message = if stance.is_announced() {
            format!(
                "{prefixes} stays announced: the guard was restarted in order, and goes on proving that this node serves"
            )
        } else {
            format!("{prefixes} is withdrawn until it is proven that this node serves")
        };
        self.event(Outcome::Started, None, message);
    }

    /// The stance has changed.
    pub(super) fn changed(&self, to: Stance, change: &Change) {
        let Change { from, why, .. } = change;
        let prefixes = &self.prefixes;
        let (outcome, reason, what) = match to {
            Stance::Announced => (Outcome::Done, None, format!("{prefixes} announced")),
            Stance::Last => (Outcome::Done, None, format!("{prefixes} stays announced, with a lower preference")),
            Stance::Withdrawn if change.proof.is_some() => {
                (Outcome::Failed, Some(Reason::ProofFailed), format!("{prefixes} withdrawn"))
            }
            Stance::Withdrawn | Stance::Drained | Stance::Maintenance if !from.is_announced() => {
                (Outcome::Waiting, None, format!("{prefixes} stays withdrawn"))
            }
            Stance::Withdrawn | Stance::Drained | Stance::Maintenance => {
                (Outcome::Waiting, None, format!("{prefixes} withdrawn"))
            }
            Stance::Draining(_) => (Outcome::Waiting, None, format!("{prefixes} is being drained")),
        };
        self.event(outcome, reason, format!("{what}: {why}"));
    }

    /// Something an operator has to see to, before it costs the announcement.
    pub(super) fn warn(&self, message: String) {
        self.event(Outcome::Waiting, Some(Reason::CertificateExpires), message);
    }

    /// Something is amiss, until it is said to be fine.
    pub(super) fn trouble(&self, with: &'static str, what: String) {
        let mut troubles = self.troubles();
        if troubles.get(with) != Some(&what) {
            self.put(Word::Aside(what.clone()));
            troubles.insert(with, what);
        }
    }

    /// Nothing is amiss with this any more.
    pub(super) fn fine(&self, with: &'static str) {
        if self.troubles().remove(with).is_some() {
            self.put(Word::Aside(format!("{with}: all is well again")));
        }
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line that is no event.
    pub(super) fn note(&self, what: String) {
        self.put(Word::Aside(what));
    }

    fn event(&self, outcome: Outcome, reason: Option<Reason>, message: String) {
        self.put(Word::Event { outcome, reason, message });
    }

    fn put(&self, word: Word) {
        let _lost_when_there_are_too_many = self.words.try_send(word);
    }
}

fn say(journal: &Journal, word: Word) {
    match word {
        Word::Event { outcome, reason, message } => {
            journal.say(&Said { reason, ..Said::new(Phase::Announce, outcome, &message) });
        }
        Word::Aside(line) => journal.aside(&line),
    }
}
