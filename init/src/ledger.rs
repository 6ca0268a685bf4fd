//! What must outlive a reboot: which machine and plan this is, how far the last run came, what runs with which files.
//! May not decide whether a phase is run: every phase finds out by itself what is true already.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anymetal_contract::{Digest, Outcome, Phase};
use serde::{Deserialize, Serialize};

use crate::sys::fs;

const KIND: &str = "anymetal.ledger";
const VERSION: u32 = 1;

/// The ledger. Readers tolerate unknown fields: an older init may meet the ledger of a newer one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    kind: String,
    version: u32,
    pub(crate) machine_id: String,
    /// The plan of the latest run; `None` when it could not even be read.
    pub(crate) plan: Option<Digest>,
    /// The release that user-data pinned in the latest run, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<Digest>,
    /// How many runs that plan has had on this machine.
    pub(crate) runs: u32,
    /// The phases of the latest run that have ended.
    pub(crate) phases: BTreeMap<Phase, Ended>,
    /// How the run before the latest one ended, when there was one.
    #[serde(default)]
    pub(crate) last: Option<Last>,
    /// What each unit was last started with; see `services`.
    #[serde(default)]
    pub(crate) units: BTreeMap<String, Applied>,
}

/// What a run is to carry out, as far as it is known when it begins: the release that is pinned, and the plan that lies on the node.
#[derive(Debug, Clone, Default)]
pub(crate) struct What {
    pub(crate) release: Option<Digest>,
    pub(crate) plan: Option<Digest>,
}

/// How a phase ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) seconds: u64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Last {
    /// With the node up.
    Up,
    /// With this phase failed.
    Failed(Phase),
    /// It was cut off with this phase not yet ended.
    Cut(Phase),
}

/// What a unit runs with: digests of what needs a restart and of what may do with a reload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    pub(crate) program: String,
    pub(crate) config: String,
}

/// What a ledger's bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    None,
    Ours(Box<Ledger>),
    /// Not to be used, and why.
    Foreign(String),
}

fn read(bytes: Option<&[u8]>, machine_id: &str) -> Read {
    let Some(bytes) = bytes else { return Read::None };
    match serde_json::from_slice::<Ledger>(bytes) {
        Err(error) => Read::Foreign(format!("it cannot be read: {error}")),
        Ok(ledger) if ledger.kind != KIND || ledger.version != VERSION => Read::Foreign(format!(
            "it is {} version {}, this init writes {KIND} version {VERSION}",
            ledger.kind, ledger.version
        )),
        Ok(ledger) if ledger.machine_id != machine_id => {
            Read::Foreign(format!("it belongs to machine {}, this one is {machine_id}", ledger.machine_id))
        }
        Ok(ledger) => Read::Ours(Box::new(ledger)),
    }
}

/// The ledger of the run that begins now, and the sentence about where the last one left off.
fn begin(before: Option<Ledger>, machine_id: &str, what: &What) -> (Ledger, String) {
    let fresh = Ledger {
        kind: KIND.to_owned(),
        version: VERSION,
        machine_id: machine_id.to_owned(),
        plan: what.plan.clone(),
        release: what.release.clone(),
        runs: 1,
        phases: BTreeMap::new(),
        last: None,
        units: BTreeMap::new(),
    };
    let Some(before) = before else { return (fresh, "first run".to_owned()) };
    let last = before.how_it_ended();
    let same = if fresh.release.is_some() { before.release == fresh.release } else { before.plan == fresh.plan };
    let (runs, sentence) = if same {
        let runs = before.runs.saturating_add(1);
        (runs, format!("run {runs} of this plan; the last one {last}"))
    } else {
        (1, format!("new {}, was {}; its last run {last}", fresh.named(), before.named()))
    };
    (Ledger { runs, last: Some(last), units: before.units, ..fresh }, sentence)
}

impl Ledger {
    /// A phase of this run has ended.
    pub(crate) fn end(&mut self, phase: Phase, ended: Ended) {
        self.phases.insert(phase, ended);
    }

    /// What it is about, for a sentence.
    fn named(&self) -> String {
        match (&self.release, &self.plan) {
            (Some(release), _) => format!("release {}", release.short()),
            (None, Some(plan)) => format!("plan {}", plan.short()),
            (None, None) => "plan unreadable".to_owned(),
        }
    }

    fn how_it_ended(&self) -> Last {
        let outcome = |phase: &Phase| self.phases.get(phase).map(|ended| ended.outcome);
        if outcome(&Phase::Settle).is_some_and(Outcome::is_good) {
            return Last::Up;
        }
        if let Some(failed) = Phase::ALL.iter().find(|phase| outcome(phase) == Some(Outcome::Failed)) {
            return Last::Failed(*failed);
        }
        Last::Cut(Phase::ALL.into_iter().find(|phase| outcome(phase).is_none()).unwrap_or(Phase::Settle))
    }
}

impl std::fmt::Display for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Up => f.write_str("ended with the node up"),
            Self::Failed(phase) => write!(f, "stopped in {phase}"),
            Self::Cut(phase) => write!(f, "was cut off in {phase}"),
        }
    }
}

/// The ledger in its place on disk, one for all phases.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    ledger: Mutex<Ledger>,
}

/// What [`Keeper::begin`] found.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) keeper: Keeper,
    /// Where the last run left off.
    pub(crate) sentence: String,
    /// Why the ledger that was there has been set aside, when it was.
    pub(crate) set_aside: Option<String>,
}

impl Keeper {
    /// Reads the ledger at `path`, begins a run in it and writes it back.
    pub(crate) fn begin(path: &Path, machine_id: &str, what: &What) -> anyhow::Result<Begun> {
        let (before, set_aside) = match read(fs::read_if_there(path)?.as_deref(), machine_id) {
            Read::None => (None, None),
            Read::Ours(ledger) => (Some(*ledger), None),
            Read::Foreign(why) => {
                fs::rename(path, &path.with_extension("json.old"))?;
                (None, Some(why))
            }
        };
        let (ledger, sentence) = begin(before, machine_id, what);
        let keeper = Self { path: path.to_owned(), ledger: Mutex::new(ledger) };
        keeper.write(&keeper.lock())?;
        Ok(Begun { keeper, sentence, set_aside })
    }

    /// Changes the ledger, and writes it when that made a difference.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Ledger)) -> anyhow::Result<()> {
        let mut ledger = self.lock();
        let before = ledger.clone();
        change(&mut ledger);
        if *ledger == before { Ok(()) } else { self.write(&ledger) }
    }

    /// Asks the ledger something.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Ledger) -> T) -> T {
        question(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, ledger: &Ledger) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(ledger)?;
        text.push(b'\n');
        fs::replace(&self.path, &text, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0123456789abcdef0123456789abcdef";

    fn digest(digit: &str) -> Digest {
        digit.repeat(64).parse().unwrap()
    }

    fn of(plan: &str) -> What {
        What { release: None, plan: Some(digest(plan)) }
    }

    fn after(phases: &[(Phase, Outcome)]) -> Ledger {
        let (mut ledger, _) = begin(None, MACHINE, &of("a"));
        ledger.phases =
            phases.iter().map(|(phase, outcome)| (*phase, Ended { outcome: *outcome, seconds: 1 })).collect();
        ledger
    }

    #[test]
    fn the_sentence_says_where_the_last_run_left_off() {
        let good = |phases: &[Phase]| phases.iter().map(|phase| (*phase, Outcome::Done)).collect::<Vec<_>>();
        let failed = [
            good(&[Phase::Wake, Phase::Plan]),
            vec![(Phase::Acquire, Outcome::Failed), (Phase::Settle, Outcome::Failed)],
        ]
        .concat();
        for (before, plan, sentence) in [
            (None, Some(digest("a")), "first run"),
            (Some(after(&failed)), Some(digest("a")), "run 2 of this plan; the last one stopped in acquire"),
            (
                Some(after(&good(&[Phase::Wake]))),
                Some(digest("a")),
                "run 2 of this plan; the last one was cut off in plan",
            ),
            (
                Some(after(&good(&Phase::ALL))),
                Some(digest("a")),
                "run 2 of this plan; the last one ended with the node up",
            ),
            (
                Some(after(&good(&Phase::ALL))),
                Some(digest("b")),
                "new plan bbbbbbbbbbbb, was plan aaaaaaaaaaaa; its last run ended with the node up",
            ),
            (Some(after(&failed)), None, "new plan unreadable, was plan aaaaaaaaaaaa; its last run stopped in acquire"),
        ] {
            assert_eq!(begin(before, MACHINE, &What { release: None, plan }).1, sentence);
        }
    }

    #[test]
    fn a_run_is_of_the_release_that_is_pinned_whatever_plan_lies_there() {
        let what = |release: &str, plan: Option<&str>| What { release: Some(digest(release)), plan: plan.map(digest) };
        let (first, said) = begin(None, MACHINE, &what("1", None));
        assert_eq!(said, "first run");
        let (again, said) = begin(Some(first), MACHINE, &what("1", Some("a")));
        assert_eq!((again.runs, said.as_str()), (2, "run 2 of this plan; the last one was cut off in wake"));
        let (next, said) = begin(Some(again), MACHINE, &what("2", Some("a")));
        assert_eq!(
            (next.runs, said.as_str()),
            (1, "new release 222222222222, was release 111111111111; its last run was cut off in wake")
        );
    }

    #[test]
    fn a_new_plan_counts_its_own_runs_and_keeps_what_the_units_run_with() {
        let mut before = after(&[]);
        before.runs = 7;
        before.units.insert("consul.service".into(), Applied { program: "p".into(), config: "c".into() });
        let (same, _) = begin(Some(before.clone()), MACHINE, &of("a"));
        let (other, _) = begin(Some(before.clone()), MACHINE, &of("b"));
        assert_eq!((same.runs, other.runs), (8, 1));
        assert_eq!(other.units, before.units);
    }

    #[test]
    fn a_ledger_of_another_machine_or_a_torn_one_is_set_aside_with_its_reason() {
        let whole = serde_json::to_vec(&after(&[])).unwrap();
        let newer = String::from_utf8(whole.clone()).unwrap().replace("\"version\":1", "\"version\":2");
        for (bytes, machine, why) in [
            (whole.clone(), "f".repeat(32), format!("it belongs to machine {MACHINE}, this one is {}", "f".repeat(32))),
            (whole[..40].to_vec(), MACHINE.to_owned(), "it cannot be read: EOF".to_owned()),
            (newer.into_bytes(), MACHINE.to_owned(), "it is anymetal.ledger version 2".to_owned()),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ledger.json");
            fs::replace(&path, &bytes, 0o600).unwrap();
            let begun = Keeper::begin(&path, &machine, &of("a")).unwrap();
            let said = begun.set_aside.expect("it was used");
            assert!(said.starts_with(&why), "{said:?} does not begin with {why:?}");
            assert_eq!(begun.sentence, "first run");
            assert_eq!(fs::read(&folder.path().join("ledger.json.old")).unwrap(), bytes);
        }
    }

    #[test]
    fn a_change_is_on_disk_when_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/ledger.json");
        let begun = Keeper::begin(&path, MACHINE, &of("a")).unwrap();
        begun.keeper.change(|ledger| ledger.end(Phase::Wake, Ended { outcome: Outcome::Done, seconds: 3 })).unwrap();
        assert_eq!(
            String::from_utf8(fs::read(&path).unwrap()).unwrap(),
            format!(
                "{{\"kind\":\"anymetal.ledger\",\"version\":1,\"machine_id\":\"{MACHINE}\",\"plan\":\"{}\",\"runs\":1,\
                 \"phases\":{{\"wake\":{{\"outcome\":\"done\",\"seconds\":3}}}},\"last\":null,\"units\":{{}}}}\n",
                "a".repeat(64)
            )
        );
        let again = Keeper::begin(&path, MACHINE, &of("a")).unwrap();
        assert_eq!(again.sentence, "run 2 of this plan; the last one was cut off in plan");
    }
}
