//! A boot as it goes, on stderr: bars on a terminal, plain lines elsewhere.
//! May not decide anything.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anymetal_contract::{Outcome, Phase, Unit, terminal as harmless};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::board::Standing;
use crate::sys::terminal;

/// Where a boot is shown.
pub enum Show {
    /// One bar per phase.
    Bars {
        /// All of them.
        all: MultiProgress,
        /// By phase.
        bars: BTreeMap<Phase, ProgressBar>,
    },
    /// One line per change.
    Lines {
        /// The last line of each phase, so that none is repeated.
        last: BTreeMap<Phase, String>,
    },
}

impl Show {
    /// Bars when stderr is a terminal.
    pub fn on_stderr() -> Self {
        if terminal::is_watched() {
            Self::Bars { all: MultiProgress::new(), bars: BTreeMap::new() }
        } else {
            Self::Lines { last: BTreeMap::new() }
        }
    }

    /// Something that is not of a phase. A closed stderr is nobody's loss.
    pub fn say(&self, text: &str) {
        match self {
            Self::Bars { all, .. } => {
                let _nobody_reads = all.println(harmless::lines(text));
            }
            Self::Lines { .. } => terminal::talk(text),
        }
    }

    /// Something that is not of a phase, with its time.
    pub fn say_at(&self, at: Duration, text: &str) {
        self.say(&format!("{}{text}", time(at)));
    }

    /// Where a phase stands now.
    pub fn phase(&mut self, at: Duration, phase: Phase, standing: &Standing) {
        match self {
            Self::Bars { all, bars } => {
                // Phases overlap; their bars stand in the order of the boot.
                let place = bars.range(..phase).count();
                let bar = bars.entry(phase).or_insert_with(|| all.insert(place, ProgressBar::new(0)));
                draw(bar, phase, standing);
            }
            Self::Lines { last } => {
                let line = line(phase, standing);
                // Progress moves in tenths: a line for each is enough.
                let key = tenth(standing).map_or_else(|| line.clone(), |tenth| format!("{tenth}"));
                if last.insert(phase, key.clone()).as_ref() != Some(&key) {
                    self.say_at(at, &line);
                }
            }
        }
    }

    /// The machine starts anew: phases begin again.
    pub fn clear(&mut self) {
        match self {
            Self::Bars { all, bars } => {
                bars.clear();
                let _nobody_reads = all.clear();
            }
            Self::Lines { last } => last.clear(),
        }
    }

    /// Leaves the bars as they stand.
    pub fn finish(&self) {
        if let Self::Bars { bars, .. } = self {
            for bar in bars.values() {
                bar.abandon();
            }
        }
    }
}

fn time(at: Duration) -> String {
    format!("{:>7.1} s  ", at.as_secs_f64())
}

fn tenth(standing: &Standing) -> Option<u64> {
    let amount = standing.amount()?;
    (standing.outcome == Some(Outcome::Progress) || standing.outcome == Some(Outcome::Started))
        .then(|| amount.done.saturating_mul(10) / amount.total.max(1))
}

fn line(phase: Phase, standing: &Standing) -> String {
    let outcome = standing.said.map_or("", Outcome::word);
    format!("{:<9} {outcome:<8} {}", phase.id(), words(standing)).trim_end().to_owned()
}

/// The last message, with its step before it, and behind it what it does not say itself: how much of a wait is over, or the reason.
fn words(standing: &Standing) -> String {
    let mut words = String::new();
    if let Some(step) = &standing.step {
        let _infallible = write!(words, "{step}: ");
    }
    if standing.said.map(Outcome::word) != Some(&standing.message) || standing.step.is_some() {
        words += &standing.message;
    }
    if let (Some(Outcome::Waiting), Some(amount)) = (standing.said, standing.amount()) {
        let unit = if amount.unit == Some(Unit::Seconds) { " s" } else { "" };
        let _infallible = write!(words, ", {}{unit} of {}", amount.done, amount.total);
    }
    if let Some(reason) = &standing.reason {
        let _infallible = write!(words, " ({reason})");
    }
    words
}

fn draw(bar: &ProgressBar, phase: Phase, standing: &Standing) {
    let amount = standing.amount().filter(|amount| standing.is_open() && amount.total > 0);
    let template = if amount.is_some() { "{prefix} [{bar:24}] {wide_msg}" } else { "{prefix} {wide_msg}" };
    let style = ProgressStyle::with_template(template).expect("the templates are right").progress_chars("=> ");
    bar.set_style(style);
    bar.set_prefix(format!(
        "{:>2} {:<9} {:<8}",
        phase.number(),
        phase.id(),
        standing.outcome.map_or("", Outcome::word)
    ));
    if let Some(amount) = amount {
        bar.set_length(amount.total);
        bar.set_position(amount.done);
    }
    bar.set_message(harmless::one_line(&words(standing)));
    if standing.outcome.is_some_and(Outcome::is_end) {
        bar.abandon();
    } else {
        bar.tick();
    }
}

#[cfg(test)]
mod tests {
    use anymetal_contract::Event;

    use super::*;
    use crate::boot::board::{Board, tests::event};

    #[test]
    fn a_line_says_phase_outcome_amount_message_and_reason() {
        let mut board = Board::default();
        let progress = Event {
            step: Some("consul".into()),
            done: Some(10 << 20),
            total: Some(40 << 20),
            unit: Some(Unit::Bytes),
            message: "10.0 of 40.0 MB".into(),
            ..event("acquire", Outcome::Progress)
        };
        board.take(&progress, Duration::from_secs(1));
        assert_eq!(line(Phase::Acquire, &board.standing(Phase::Acquire)), "acquire   progress consul: 10.0 of 40.0 MB");
        let waiting = Event {
            done: Some(3),
            total: Some(900),
            unit: Some(Unit::Seconds),
            message: "no origin answers".into(),
            ..event("acquire", Outcome::Waiting)
        };
        board.take(&waiting, Duration::from_secs(1));
        assert_eq!(
            line(Phase::Acquire, &board.standing(Phase::Acquire)),
            "acquire   waiting  no origin answers, 3 s of 900"
        );
        let failed = Event {
            reason: Some("artefact-mismatch".into()),
            message: "other bytes".into(),
            ..event("acquire", Outcome::Failed)
        };
        board.take(&failed, Duration::from_secs(2));
        assert_eq!(
            line(Phase::Acquire, &board.standing(Phase::Acquire)),
            "acquire   failed   other bytes (artefact-mismatch)"
        );
    }

    #[test]
    fn progress_is_a_line_per_tenth_and_everything_else_a_line_per_change() {
        let mut board = Board::default();
        let mut tenths = Vec::new();
        for done in [0, 1, 9, 10, 15, 100] {
            let progress = Event { done: Some(done), total: Some(100), ..event("acquire", Outcome::Progress) };
            board.take(&progress, Duration::ZERO);
            tenths.push(tenth(&board.standing(Phase::Acquire)).unwrap());
        }
        assert_eq!(tenths, [0, 0, 0, 1, 1, 10]);
        board.take(&event("acquire", Outcome::Done), Duration::ZERO);
        assert_eq!(tenth(&board.standing(Phase::Acquire)), None);
    }
}
