//! The board of one boot: where each phase stands, from the events alone, and whether the boot has come to an end.
//! May not print or read a clock: it is told when.

use std::collections::BTreeMap;
use std::time::Duration;

use anymetal_contract::{Event, Outcome, Phase, Unit};

/// Where one phase stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last outcome of the phase as a whole; `None` until it is heard of.
    pub outcome: Option<Outcome>,
    /// When it was first heard of, since power on.
    pub began: Option<Duration>,
    /// When it ended, since power on.
    pub ended: Option<Duration>,
    /// The last message, what it was of within the phase, and what became of that.
    pub message: String,
    /// Of this step; `None` when it was of the phase as a whole.
    pub step: Option<String>,
    /// With this outcome.
    pub said: Option<Outcome>,
    /// Why it failed.
    pub reason: Option<String>,
    /// What to do about that.
    pub hint: Option<&'static str>,
    amounts: BTreeMap<Option<String>, Amount>,
}

/// How much of something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    /// So much.
    pub done: u64,
    /// Of so much.
    pub total: u64,
    /// Of this.
    pub unit: Option<Unit>,
}

impl Standing {
    /// How far the phase is: its own word, or the sum over its steps when they count the same.
    pub fn amount(&self) -> Option<Amount> {
        let own = self.amounts.get(&None).copied();
        own.or_else(|| {
            let first = self.amounts.values().next()?;
            let same = self.amounts.values().filter(|amount| amount.unit == first.unit);
            Some(same.fold(Amount { done: 0, total: 0, unit: first.unit }, |sum, amount| Amount {
                done: sum.done + amount.done,
                total: sum.total + amount.total,
                unit: sum.unit,
            }))
        })
    }

    /// How long it took, once it has ended.
    pub fn took(&self) -> Option<Duration> {
        Some(self.ended?.saturating_sub(self.began?))
    }

    /// Whether it is under way.
    pub fn is_open(&self) -> bool {
        self.outcome.is_some_and(|outcome| !outcome.is_end())
    }
}

/// How a boot ended, as far as the node itself says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// `settle` is done.
    Up,
    /// This phase failed.
    Failed(Phase),
}

/// All phases of one boot.
#[derive(Debug, Clone, Default)]
pub struct Board {
    standings: BTreeMap<Phase, Standing>,
    /// The plan digest the node reports; empty until it does.
    pub plan: String,
    /// The node's name.
    pub node: String,
}

impl Board {
    /// Where a phase stands.
    pub fn standing(&self, phase: Phase) -> Standing {
        self.standings.get(&phase).cloned().unwrap_or_default()
    }

    /// Takes an event heard `now`. A phase this reader does not know is left out.
    pub fn take(&mut self, event: &Event, now: Duration) -> Option<Word> {
        if !event.plan.is_empty() {
            self.plan.clone_from(&event.plan);
        }
        self.node.clone_from(&event.node);
        let phase = event.phase()?;
        let standing = self.standings.entry(phase).or_default();
        standing.began.get_or_insert(now);
        standing.message.clone_from(&event.message);
        standing.step.clone_from(&event.step);
        standing.said = Some(event.outcome);
        if let Some(total) = event.total {
            let amount = Amount { done: event.done.unwrap_or(0), total, unit: event.unit };
            standing.amounts.insert(event.step.clone(), amount);
        } else if event.outcome != Outcome::Progress {
            // What the phase as a whole counted, a wait's seconds, is over.
            standing.amounts.remove(&None);
        }
        if event.step.is_some() {
            // A step tells how its phase goes on, never how it ends.
            if standing.ended.is_none() {
                standing.outcome = Some(match event.outcome {
                    Outcome::Waiting => Outcome::Waiting,
                    Outcome::Progress => Outcome::Progress,
                    _ => Outcome::Started,
                });
            }
            return None;
        }
        standing.outcome = Some(event.outcome);
        standing.ended = event.ends_phase().then_some(now);
        standing.reason.clone_from(&event.reason);
        standing.hint = event.reason().map(anymetal_contract::Reason::hint);
        match event.outcome {
            Outcome::Failed => Some(Word::Failed(phase)),
            outcome if outcome.is_good() && phase == Phase::Settle => Some(Word::Up),
            _ => None,
        }
    }

    /// Forgets everything but the names: the machine was switched off and starts again.
    pub fn power_cut(&mut self) {
        self.standings.clear();
    }

    /// Phases under way, in order.
    pub fn open(&self) -> impl Iterator<Item = (Phase, &Standing)> {
        self.standings.iter().filter(|(_, standing)| standing.is_open()).map(|(phase, standing)| (*phase, standing))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event of a phase as a whole.
    pub(crate) fn event(phase: &str, outcome: Outcome) -> Event {
        Event {
            kind: anymetal_contract::event::KIND.into(),
            version: 1,
            seq: 1,
            by: None,
            time: "2026-11-22T10:00:00.000Z".into(),
            site: "demo".into(),
            node: "boot-1".into(),
            plan: String::new(),
            phase: phase.into(),
            step: None,
            outcome,
            reason: None,
            message: format!("{phase} {}", outcome.word()),
            done: None,
            total: None,
            unit: None,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_boot_is_up_when_settle_is_done_and_failed_with_the_phase_that_is() {
        let mut board = Board::default();
        assert_eq!(board.take(&event("acquire", Outcome::Started), seconds(1)), None);
        assert_eq!(board.take(&event("acquire", Outcome::Done), seconds(5)), None);
        assert_eq!(board.standing(Phase::Acquire).took(), Some(seconds(4)));
        assert_eq!(board.take(&event("settle", Outcome::Started), seconds(6)), None);
        assert_eq!(board.take(&event("settle", Outcome::Done), seconds(7)), Some(Word::Up));
        let failed = Event { reason: Some("disk-full".into()), ..event("install", Outcome::Failed) };
        assert_eq!(board.take(&failed, seconds(8)), Some(Word::Failed(Phase::Install)));
        assert!(board.standing(Phase::Install).hint.unwrap().contains("free space"));
    }

    #[test]
    fn a_failed_step_does_not_fail_its_phase() {
        let mut board = Board::default();
        let step = Event { step: Some("consul".into()), ..event("acquire", Outcome::Failed) };
        assert_eq!(board.take(&step, seconds(1)), None);
        assert!(board.standing(Phase::Acquire).is_open());
    }

    #[test]
    fn steps_that_count_the_same_add_up_until_the_phase_counts_itself() {
        let mut board = Board::default();
        let progress = |step: Option<&str>, done, total| Event {
            step: step.map(str::to_owned),
            done: Some(done),
            total: Some(total),
            unit: Some(Unit::Bytes),
            ..event("acquire", Outcome::Progress)
        };
        for (step, done) in [("consul", 10), ("nomad", 5), ("consul", 30)] {
            board.take(&progress(Some(step), done, 40), seconds(1));
        }
        assert_eq!(
            board.standing(Phase::Acquire).amount(),
            Some(Amount { done: 35, total: 80, unit: Some(Unit::Bytes) })
        );
        board.take(&progress(None, 70, 90), seconds(2));
        assert_eq!(board.standing(Phase::Acquire).amount().unwrap().done, 70);
    }

    #[test]
    fn words_of_a_later_version_are_borne() {
        let mut board = Board::default();
        assert_eq!(board.take(&event("orbit", Outcome::Unknown), seconds(1)), None);
        assert_eq!(board.take(&event("files", Outcome::Unknown), seconds(1)), None);
        assert_eq!(board.open().map(|(phase, _)| phase).collect::<Vec<_>>(), [Phase::Files]);
    }

    #[test]
    fn after_a_power_cut_the_board_is_empty() {
        let mut board = Board::default();
        board.take(&event("files", Outcome::Done), seconds(1));
        board.power_cut();
        assert_eq!((board.standing(Phase::Files), board.node.as_str()), (Standing::default(), "boot-1"));
    }
}
