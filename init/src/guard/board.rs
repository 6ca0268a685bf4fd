//! What the guard shows: its status document and its metrics, both made from one board.
//! May not write or serve them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::chain::{self, Proven};
use super::course::{Change, Seen, Stance};
use super::document::Document;

const KIND: &str = "anymetal.guard-status";
const VERSION: u32 = 1;
/// Why a guard that has just been started announces.
const TAKEN_OVER: &str = "taken over from the guard before this one, which was restarted in order";

/// Everything there is to show.
#[derive(Debug)]
pub(crate) struct Board {
    document: Arc<Document>,
    pid: u32,
    stance: Stance,
    since: SystemTime,
    why: String,
    proof: Option<String>,
    /// The results of the latest round, in the order of the chain.
    proofs: Vec<Proven>,
    /// What BIRD was seen to hold at the beginning of the latest round; empty when it did not answer.
    held: String,
    /// By name, whether established.
    neighbours: BTreeMap<String, bool>,
    /// Rounds so far: bad, with something away, good.
    rounds: [u64; 3],
    changes: BTreeMap<&'static str, u64>,
    failures: BTreeMap<String, u64>,
    /// By name, when the certificate that answered under it last expires.
    certificates: BTreeMap<String, i64>,
    /// How often something of the prefixes had to be put back on this machine.
    restored: u64,
}

/// The document at [`anymetal_contract::place::GUARD_STATUS`]. An output: readers tolerate what they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GuardStatus {
    pub(crate) kind: String,
    pub(crate) version: u32,
    pub(crate) site: String,
    pub(crate) node: String,
    /// The guard's process.
    pub(crate) pid: u32,
    pub(crate) prefixes: Vec<String>,
    /// A word of [`Stance`].
    pub(crate) stance: String,
    /// RFC 3339, UTC.
    pub(crate) since: String,
    /// In one sentence.
    pub(crate) why: String,
    /// The proof that decided, when one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proof: Option<String>,
    /// The latest round, to its first link that did not hold.
    pub(crate) proofs: Vec<Shown>,
}

/// One proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) name: String,
    pub(crate) holds: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl Board {
    pub(crate) fn new(document: Arc<Document>, pid: u32, stance: Stance, now: SystemTime) -> Self {
        Self {
            neighbours: document.neighbours.iter().map(|name| (name.clone(), false)).collect(),
            document,
            pid,
            stance,
            since: now,
            why: if stance.is_announced() { TAKEN_OVER } else { "started; to be proven" }.to_owned(),
            proof: None,
            proofs: Vec::new(),
            held: String::new(),
            rounds: [0, 0, 0],
            changes: BTreeMap::new(),
            failures: BTreeMap::new(),
            certificates: BTreeMap::new(),
            restored: 0,
        }
    }

    /// A round has ended so.
    pub(crate) fn round(&mut self, proofs: Vec<Proven>) {
        let which = match chain::seen(&proofs) {
            Seen::Bad(_) => 0,
            Seen::Away(_) => 1,
            Seen::Good | Seen::Wishes(_) => 2,
        };
        self.rounds[which] += 1;
        for proven in proofs.iter().filter(|proven| proven.why.is_some()) {
            *self.failures.entry(proven.name.clone()).or_default() += 1;
        }
        for certificate in proofs.iter().filter_map(|proven| proven.certificate.as_ref()) {
            self.certificates.insert(certificate.name.clone(), certificate.expires);
        }
        self.proofs = proofs;
    }

    /// BIRD was made to hold this.
    pub(crate) fn holds(&mut self, held: String) {
        self.held = held;
    }

    /// So much of the prefixes was put back.
    pub(crate) fn restored(&mut self, count: usize) {
        self.restored += count as u64;
    }

    /// BIRD holds this; these sessions are established, and no others.
    pub(crate) fn bird(&mut self, held: String, established: impl Fn(&str) -> bool) {
        self.held = held;
        for (name, is) in &mut self.neighbours {
            *is = established(name);
        }
    }

    /// The stance is another.
    pub(crate) fn change(&mut self, to: Stance, change: &Change, now: SystemTime) {
        (self.stance, self.since) = (to, now);
        self.why.clone_from(&change.why);
        self.proof.clone_from(&change.proof);
        *self.changes.entry(to.word()).or_default() += 1;
    }

    /// The status document. It has nothing that changes with every round, so that it is written only when something did.
    pub(crate) fn status(&self) -> GuardStatus {
        let shown =
            |proven: &Proven| Shown { name: proven.name.clone(), holds: proven.why.is_none(), why: proven.why.clone() };
        GuardStatus {
            kind: KIND.to_owned(),
            version: VERSION,
            site: self.document.site.clone(),
            node: self.document.node.clone(),
            pid: self.pid,
            prefixes: self.document.prefixes.iter().map(ToString::to_string).collect(),
            stance: self.stance.word().to_owned(),
            since: humantime::format_rfc3339_seconds(self.since).to_string(),
            why: self.why.clone(),
            proof: self.proof.clone(),
            proofs: self.proofs.iter().map(shown).collect(),
        }
    }

    /// The metrics, in Prometheus' text format 0.0.4. A proof that the latest round did not come to has no sample.
    pub(crate) fn metrics(&self) -> String {
        let mut text = Text(String::with_capacity(4096));
        text.family("announced", "gauge", "Whether the site's prefixes are announced.");
        text.sample("announced", None, u64::from(self.stance.is_announced()));
        text.family("stance", "gauge", "Where the guard stands: 1 for the one it has.");
        for word in Stance::WORDS {
            text.sample("stance", Some(("stance", word)), u64::from(self.stance.word() == word));
        }
        text.family("bird_holds", "gauge", "What BIRD itself was seen to announce: 1 for what it is.");
        for word in ["nothing", "normal", "last", "drain", "mixed"] {
            text.sample("bird_holds", Some(("what", word)), u64::from(self.held == word));
        }
        text.family("stance_since_seconds", "gauge", "When it took this stance, in seconds of Unix time.");
        let since = self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        text.sample("stance_since_seconds", None, since.as_secs());
        text.family("proof_holds", "gauge", "Whether the proof held in the latest round.");
        for proven in &self.proofs {
            text.sample("proof_holds", Some(("proof", &proven.name)), u64::from(proven.why.is_none()));
        }
        text.family("proof_duration_seconds", "gauge", "How long the proof took in the latest round.");
        for proven in &self.proofs {
            text.sample("proof_duration_seconds", Some(("proof", &proven.name)), seconds(proven.took));
        }
        text.family("proof_failures_total", "counter", "Rounds in which this proof did not hold.");
        for (name, count) in &self.failures {
            text.sample("proof_failures_total", Some(("proof", name)), count);
        }
        text.family("rounds_total", "counter", "Rounds of proofs.");
        for (result, count) in [("bad", self.rounds[0]), ("away", self.rounds[1]), ("good", self.rounds[2])] {
            text.sample("rounds_total", Some(("result", result)), count);
        }
        text.family("changes_total", "counter", "Changes to this stance.");
        for (to, count) in &self.changes {
            text.sample("changes_total", Some(("to", to)), count);
        }
        text.family(
            "addresses_restored_total",
            "counter",
            "Addresses and routes of the prefixes put back on this machine.",
        );
        text.sample("addresses_restored_total", None, self.restored);
        text.family(
            "certificate_expires_seconds",
            "gauge",
            "When the certificate seen under this name expires, in Unix time.",
        );
        for (name, expires) in &self.certificates {
            text.sample("certificate_expires_seconds", Some(("name", name)), expires);
        }
        text.family("neighbour_established", "gauge", "Whether the session with the neighbour is established.");
        for (name, is) in &self.neighbours {
            text.sample("neighbour_established", Some(("neighbour", name)), u64::from(*is));
        }
        text.0
    }
}

fn seconds(took: Duration) -> String {
    format!("{:.6}", took.as_secs_f64())
}

/// The metrics so far.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _never_fails = write!(self.0, "# HELP anymetal_guard_{name} {help}\n# TYPE anymetal_guard_{name} {kind}\n");
    }

    fn sample(&mut self, name: &str, label: Option<(&str, &str)>, value: impl std::fmt::Display) {
        let label = label.map(|(label, value)| {
            format!("{{{label}=\"{}\"}}", value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
        });
        let _never_fails = writeln!(self.0, "anymetal_guard_{name}{} {value}", label.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
