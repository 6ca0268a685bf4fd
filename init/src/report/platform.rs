//! Events as the platform's own state endpoint takes them (Equinix Metal "user state": `{"state", "code", "message"}`).
//! May not send them. What a phase begins, waits for and ends with is told; steps and progress are not: it is a timeline for people.
//!
//! The code is `1000 + 8 * (number of the phase - 1) + outcome`, with started 0, waiting 1, done 2, same 3, absent 4, failed 5: `wake`
//! started is 1000, `settle` failed is 1093, all within the 1000 to 1099 the platform allows. The state is `running` until `settle` ends.

use anymetal_contract::{Event, Outcome, Phase};
use serde_json::json;

use super::words::{amount, one_line};

/// No limit on a message's length is documented; this much is shown whole by every console that lists events.
const LONGEST: usize = 300;
/// A wait of the same words is told again after so many seconds.
const AGAIN: u64 = 300;

/// What has been told, to thin out waits.
#[derive(Debug, Default)]
pub(super) struct Told {
    wait: Option<(String, String, u64)>,
}

impl Told {
    /// The body to post for an event, when it is to be told.
    pub(super) fn body(&mut self, event: &Event) -> Option<String> {
        let phase = event.phase()?;
        if event.step.is_some() || (event.outcome == Outcome::Waiting && !self.is_news(event)) {
            return None;
        }
        let code = 1000 + 8 * (phase.number() - 1) + place(event.outcome)?;
        let state = match (phase, event.outcome) {
            (Phase::Settle, Outcome::Failed) => "failed",
            (Phase::Settle, outcome) if outcome.is_end() => "succeeded",
            _ => "running",
        };
        Some(json!({ "state": state, "code": code, "message": message(event) }).to_string())
    }

    fn is_news(&mut self, event: &Event) -> bool {
        let done = event.done.unwrap_or(0);
        let told = self.wait.as_ref().is_some_and(|(phase, message, when)| {
            *phase == event.phase && *message == event.message && done >= *when && done < when + AGAIN
        });
        if !told {
            self.wait = Some((event.phase.clone(), event.message.clone(), done));
        }
        !told
    }
}

const fn place(outcome: Outcome) -> Option<usize> {
    match outcome {
        Outcome::Started => Some(0),
        Outcome::Waiting => Some(1),
        Outcome::Done => Some(2),
        Outcome::Same => Some(3),
        Outcome::Absent => Some(4),
        Outcome::Failed => Some(5),
        Outcome::Progress | Outcome::Unknown => None,
    }
}

fn message(event: &Event) -> String {
    let mut text = format!("{} {}", event.phase, event.outcome.word());
    if event.outcome != Outcome::Started {
        text = format!("{text}: {}", event.message);
    }
    if let (Outcome::Waiting, Some(done), Some(unit)) = (event.outcome, event.done, event.unit) {
        text = format!("{text}, {}", amount(done, event.total, unit));
    }
    one_line(&text, LONGEST)
}

#[cfg(test)]
mod tests {
    use anymetal_contract::Unit;

    use super::*;
    use crate::report::tests::event;

    fn body(event: &Event) -> Option<String> {
        Told::default().body(event)
    }

    #[test]
    fn codes_are_distinct_and_within_what_the_platform_allows() {
        let outcomes =
            [Outcome::Started, Outcome::Waiting, Outcome::Done, Outcome::Same, Outcome::Absent, Outcome::Failed];
        let mut codes: Vec<u64> = Vec::new();
        for phase in Phase::ALL {
            for outcome in outcomes {
                let body: serde_json::Value = serde_json::from_str(&body(&event(phase, outcome)).unwrap()).unwrap();
                codes.push(body["code"].as_u64().unwrap());
            }
        }
        assert_eq!((codes.first(), codes.last()), (Some(&1000), Some(&1093)));
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_state_is_running_until_settle_ends() {
        for (phase, outcome, expected) in [
            (Phase::Wake, Outcome::Started, r#"{"code":1000,"message":"wake started","state":"running"}"#),
            (Phase::Metadata, Outcome::Failed, r#"{"code":1021,"message":"metadata failed: m","state":"running"}"#),
            (Phase::Settle, Outcome::Started, r#"{"code":1088,"message":"settle started","state":"running"}"#),
            (Phase::Settle, Outcome::Done, r#"{"code":1090,"message":"settle done: m","state":"succeeded"}"#),
            (Phase::Settle, Outcome::Failed, r#"{"code":1093,"message":"settle failed: m","state":"failed"}"#),
        ] {
            assert_eq!(body(&event(phase, outcome)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn steps_and_progress_are_not_told_and_waits_seldom() {
        assert_eq!(body(&Event { step: Some("consul".into()), ..event(Phase::Acquire, Outcome::Done) }), None);
        assert_eq!(body(&event(Phase::Acquire, Outcome::Progress)), None);
        let mut told = Told::default();
        let mut wait = |done: u64, message: &str| {
            let event = Event {
                message: message.into(),
                done: Some(done),
                total: Some(900),
                unit: Some(Unit::Seconds),
                ..event(Phase::Metadata, Outcome::Waiting)
            };
            told.body(&event).is_some()
        };
        let heard = [wait(0, "a"), wait(30, "a"), wait(31, "b"), wait(330, "b"), wait(331, "b"), wait(1, "b")];
        assert_eq!(heard, [true, false, true, false, true, true], "the last is the wait of a new run");
    }
}
