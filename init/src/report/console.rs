//! An event as lines for a person at the console at three in the morning.
//! May not print them.

use std::time::Duration;

use anymetal_contract::{Event, Outcome, Phase, Reason, Unit};

use super::words::{amount, harmless, one_line};

/// How an event reads on the console: a first line, more when its message has more, and a hint where something failed.
/// `took` is how long the phase took, when this ends it.
pub(crate) fn lines(event: &Event, took: Option<Duration>) -> Vec<String> {
    let mut message = event.message.lines();
    let mut lines = vec![format!("{}{}", lead(event), first(event, message.next().unwrap_or_default(), took))];
    lines.extend(message.map(|line| format!("{}| {line}", lead(event))));
    if event.step.is_none()
        && event.outcome == Outcome::Failed
        && let Some(reason) = event.reason()
    {
        lines.push(format!("{}hint: {}", lead(event), Reason::hint(reason)));
    }
    lines
}

/// A line about something that is no phase's business, by whom it is: how the `report`s fare.
pub(crate) fn aside(by: &str, message: &str) -> String {
    format!("{}{message}", start(by))
}

/// A line about our own mistake, said in the thread of that name: a phase's, or another.
pub(crate) fn panicked(thread: &str, place: &str, message: &str) -> String {
    format!("{}panicked at {place}: {}", start(thread), one_line(&harmless(message), 500))
}

fn lead(event: &Event) -> String {
    start(&event.phase)
}

fn start(phase: &str) -> String {
    let number = Phase::named(phase).map_or("--".to_owned(), |phase| format!("{:02}", phase.number()));
    format!("anymetal [{number}/{}] {phase:<8}  ", Phase::ALL.len())
}

fn first(event: &Event, message: &str, took: Option<Duration>) -> String {
    let mut text = match (&event.step, event.outcome) {
        (Some(step), Outcome::Progress) => format!("{step}: {message}"),
        (Some(step), outcome) => format!("{step} {}: {message}", outcome.word()),
        (None, Outcome::Started) => event.outcome.word().to_owned(),
        (None, outcome) => {
            let seconds = took.map(|took| took.as_secs()).filter(|seconds| *seconds > 0);
            let after = seconds.map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
            format!("{}{after}: {message}", outcome.word())
        }
    };
    if event.outcome == Outcome::Waiting
        && let (Some(done), Some(Unit::Seconds)) = (event.done, event.unit)
    {
        text = format!("{text}, {}", amount(done, event.total, Unit::Seconds));
    }
    if let (Outcome::Failed, Some(reason)) = (event.outcome, &event.reason) {
        text = format!("{text} ({reason})");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::event;

    #[test]
    fn every_kind_of_event_reads_well() {
        let progress = Event {
            step: Some("consul".into()),
            done: Some(1),
            message: "12.3 of 40.1 MB".into(),
            ..event(Phase::Acquire, Outcome::Progress)
        };
        let waiting = Event {
            message: "bgp_neighbors not there yet".into(),
            done: Some(12),
            total: Some(900),
            unit: Some(Unit::Seconds),
            ..event(Phase::Metadata, Outcome::Waiting)
        };
        let failed = Event {
            message: "consul.service has failed (exit-code)\nError: no such file".into(),
            reason: Some("service-failed".into()),
            ..event(Phase::Services, Outcome::Failed)
        };
        let done = Event { message: "4 files, none changed".into(), ..event(Phase::Files, Outcome::Same) };
        let step = Event {
            message: "ready, active".into(),
            step: Some("bird.service".into()),
            ..event(Phase::Services, Outcome::Done)
        };
        for (event, seconds, expected) in [
            (event(Phase::Wake, Outcome::Started), None, vec!["anymetal [01/12] wake      started"]),
            (progress, None, vec!["anymetal [04/12] acquire   consul: 12.3 of 40.1 MB"]),
            (waiting, None, vec!["anymetal [03/12] metadata  waiting: bgp_neighbors not there yet, 12 s of 900"]),
            (done.clone(), Some(0), vec!["anymetal [07/12] files     same: 4 files, none changed"]),
            (done, Some(3), vec!["anymetal [07/12] files     same after 3 s: 4 files, none changed"]),
            (step, None, vec!["anymetal [08/12] services  bird.service done: ready, active"]),
            (
                failed,
                Some(70),
                vec![
                    "anymetal [08/12] services  failed after 70 s: consul.service has failed (exit-code) (service-failed)",
                    "anymetal [08/12] services  | Error: no such file",
                    "anymetal [08/12] services  hint: read the unit's last lines above, and `journalctl -u` of the unit",
                ],
            ),
        ] {
            assert_eq!(lines(&event, seconds.map(Duration::from_secs)), expected);
        }
        assert_eq!(aside("report", "kept"), "anymetal [--/12] report    kept");
        assert_eq!(
            panicked("facts", "src/facts.rs:7:1", "a\nb"),
            "anymetal [06/12] facts     panicked at src/facts.rs:7:1: a | b"
        );
    }
}
