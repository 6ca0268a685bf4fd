//! How a boot ended, and how that is said.
//! May not print.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use anymetal_contract::{Outcome, Phase};
use ipnet::IpNet;

use super::board::Board;
use super::neighbour::Known;
use super::platform::Log;
use super::serial::{Console, Milestone};

/// How a boot ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Verdict {
    /// The node settled.
    #[default]
    Up,
    /// The node says that a phase failed.
    Failed {
        /// Which.
        phase: Phase,
        /// In the node's words.
        message: String,
        /// The reason code.
        reason: Option<String>,
        /// What to do.
        hint: Option<&'static str>,
    },
    /// The node was not up in time.
    Deadline {
        /// The time it had.
        after: Duration,
        /// Phases under way and what they said last.
        open: Vec<(Phase, String)>,
    },
    /// QEMU ended by itself; its words, if it had any.
    Ended(String),
    /// The kernel gave up.
    Panic,
    /// The neighbour does not have exactly the prefixes of the site; in a sentence.
    Neighbour(String),
    /// Somebody asked for an end.
    Interrupted,
}

impl Verdict {
    /// This phase failed.
    pub fn failed(board: &Board, phase: Phase) -> Self {
        let standing = board.standing(phase);
        Self::Failed { phase, message: standing.message, reason: standing.reason, hint: standing.hint }
    }

    /// The time is over.
    pub fn deadline(board: &Board, after: Duration) -> Self {
        let open = board.open().map(|(phase, standing)| (phase, standing.message.clone())).collect();
        Self::Deadline { after, open }
    }

    /// The phase to look at first.
    pub fn phase(&self) -> Option<Phase> {
        match self {
            Self::Failed { phase, .. } => Some(*phase),
            Self::Deadline { open, .. } => open.first().map(|(phase, _)| *phase),
            Self::Up | Self::Ended(_) | Self::Panic | Self::Neighbour(_) | Self::Interrupted => None,
        }
    }

    /// What to do about it, when that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Failed { hint, .. } => *hint,
            Self::Deadline { open, .. } if open.is_empty() => Some(
                "no phase was under way: look in the serial log whether cloud-init took the user-data and fetched init",
            ),
            Self::Deadline { .. } => {
                Some("see below what the phase waits for; `--deadline SECONDS` gives it more time")
            }
            Self::Neighbour(_) => Some(
                "look at what the guard says in the serial log; on the machine, `birdc show route` has what it could announce",
            ),
            Self::Up | Self::Ended(_) | Self::Panic | Self::Interrupted => None,
        }
    }

    /// In one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Up => "node is up".into(),
            Self::Failed { phase, message, reason, .. } => {
                let reason = reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
                format!("{phase} failed: {message}{reason}")
            }
            Self::Deadline { after, open } => {
                let open: Vec<String> =
                    open.iter().map(|(phase, message)| format!("{phase} was under way: {message}")).collect();
                let open = if open.is_empty() { "no phase was under way".to_owned() } else { open.join("; ") };
                format!("the node was not up after {} s; {open}", after.as_secs())
            }
            Self::Ended(words) if words.is_empty() => "the machine switched itself off".into(),
            Self::Ended(words) => format!("QEMU ended: {words}"),
            Self::Panic => "the kernel of the machine gave up".into(),
            Self::Neighbour(sentence) => sentence.clone(),
            Self::Interrupted => "interrupted".into(),
        }
    }
}

/// What became of the announcement, as the neighbour saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Neighbourhood {
    /// What the neighbour had to have been told; nobody looked when there is none.
    pub wanted: Option<BTreeSet<IpNet>>,
    /// When a session was established, since the last power on.
    pub established: Option<Duration>,
    /// What it knew at the end.
    pub known: Known,
}

/// One boot, ended.
#[derive(Debug, Clone, Default)]
pub struct Ended {
    /// How.
    pub verdict: Verdict,
    /// The phases since the last power on.
    pub board: Board,
    /// What the console of the last power on showed, and when.
    pub milestones: BTreeMap<Milestone, Duration>,
    /// What happened on the platform.
    pub log: Log,
    /// The announcement.
    pub neighbour: Neighbourhood,
    /// The end of the serial console.
    pub console: Console,
    /// How often the machine was switched on.
    pub power_ons: u32,
    /// From the first power on to the verdict.
    pub took: Duration,
}

impl Ended {
    /// Whether the node is up.
    pub fn is_up(&self) -> bool {
        self.verdict == Verdict::Up
    }

    /// What is printed at the end: a sentence and the times.
    pub fn summary(&self) -> String {
        let mut text = self.verdict.sentence();
        let plan = self.board.plan.get(..12).map_or(String::new(), |plan| format!(", plan {plan}"));
        let node = &self.board.node;
        let powered =
            if self.power_ons > 1 { format!(", switched on {} times", self.power_ons) } else { String::new() };
        if self.is_up() {
            let _infallible = write!(text, ": {node}{plan}");
        }
        let _infallible = writeln!(text, ", {:.1} s{powered}", self.took.as_secs_f64());
        for (milestone, at) in &self.milestones {
            let _infallible = writeln!(text, "  {:<20} {:>7.1} s", milestone.word(), at.as_secs_f64());
        }
        for phase in Phase::ALL {
            let standing = self.board.standing(phase);
            let (Some(began), Some(outcome)) = (standing.began, standing.outcome) else { continue };
            if outcome == Outcome::Absent {
                continue; // no time was spent on what is not in the plan
            }
            let took = standing.took().map_or("–".to_owned(), |took| format!("{:.1} s", took.as_secs_f64()));
            let _infallible =
                writeln!(text, "  {:<20} {:>7.1} s {took:>9}  {}", phase.id(), began.as_secs_f64(), outcome.word());
        }
        if let Some(at) = self.neighbour.established {
            let _infallible = write!(text, "  {:<20} {:>7.1} s", "neighbour", at.as_secs_f64());
            if !self.neighbour.known.routes.is_empty() {
                let _infallible = write!(text, " {:>9}  has {}", "", self.neighbour.known.listed());
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::board::tests::event;

    #[test]
    fn a_deadline_names_every_phase_under_way_and_what_it_waits_for() {
        let mut board = Board::default();
        board.take(&event("wake", Outcome::Done), Duration::from_secs(40));
        for phase in ["acquire", "metadata"] {
            board.take(&event(phase, Outcome::Waiting), Duration::from_secs(41));
        }
        let verdict = Verdict::deadline(&board, Duration::from_mins(10));
        assert_eq!(
            verdict.sentence(),
            "the node was not up after 600 s; metadata was under way: metadata waiting; acquire was under way: acquire waiting"
        );
        assert_eq!(verdict.phase(), Some(Phase::Metadata));
        let silent = Verdict::deadline(&Board::default(), Duration::from_mins(10));
        assert!(silent.hint().unwrap().contains("cloud-init"));
    }

    #[test]
    fn the_summary_has_the_sentence_first_and_then_the_times() {
        let mut ended = Ended { power_ons: 2, took: Duration::from_millis(93_440), ..Ended::default() };
        ended.milestones.insert(Milestone::Kernel, Duration::from_secs(2));
        let files = anymetal_contract::Event { plan: "ab".repeat(32), ..event("files", Outcome::Started) };
        ended.board.take(&files, Duration::from_secs(50));
        ended.board.take(&event("files", Outcome::Done), Duration::from_secs(51));
        ended.board.take(&event("jobs", Outcome::Absent), Duration::from_secs(51));
        let expected = "\
node is up: boot-1, plan abababababab, 93.4 s, switched on 2 times
  kernel                   2.0 s
  files                   50.0 s     1.0 s  done
";
        assert_eq!(ended.summary(), expected);
    }
}
