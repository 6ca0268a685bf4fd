//! The boot as a JUnit document: one test case per phase, and one for what the neighbour was told.
//! May not write a file.

use anymetal_contract::{Outcome, Phase};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Ended, Verdict};

/// The document. `name` is what was booted.
pub fn junit(name: &str, ended: &Ended) -> anyhow::Result<String> {
    let mut suite = TestSuite::new(format!("anymetal boot {name}"));
    suite.set_time(ended.took);
    let mut boot = TestCase::new("boot", boot_status(&ended.verdict));
    boot.set_classname("machine").set_time(ended.took);
    if !ended.is_up() {
        boot.set_system_out(ended.console.last().collect::<Vec<_>>().join("\n"));
    }
    suite.add_test_case(boot);
    suite.add_test_cases(Phase::ALL.map(|phase| case(phase, ended)));
    suite.add_test_case(neighbour(ended));
    let mut report = Report::new("anymetal");
    report.add_test_suite(suite);
    Ok(report.to_string()?)
}

fn boot_status(verdict: &Verdict) -> TestCaseStatus {
    match verdict {
        Verdict::Up => TestCaseStatus::success(),
        other => failure("boot", other.sentence()),
    }
}

fn neighbour(ended: &Ended) -> TestCase {
    let at_the_neighbour = &ended.neighbour;
    let status = match (&ended.verdict, &at_the_neighbour.wanted) {
        (Verdict::Neighbour(sentence), _) => failure("neighbour", sentence.clone()),
        (_, None) => skipped("not part of this plan"),
        (Verdict::Up, Some(_)) => TestCaseStatus::success(),
        (_, Some(_)) => skipped("the node was not up"),
    };
    let mut case = TestCase::new("neighbour", status);
    case.set_classname("neighbour");
    if let Some(at) = at_the_neighbour.established {
        case.set_time(at);
        let has = at_the_neighbour.known.listed();
        let has = if has.is_empty() { String::new() } else { format!(", has {has}") };
        case.set_system_out(format!("established{has}"));
    }
    case
}

fn case(phase: Phase, ended: &Ended) -> TestCase {
    let standing = ended.board.standing(phase);
    let stuck = ended.verdict.phase() == Some(phase);
    let status = match standing.outcome {
        _ if stuck => failure(standing.reason.as_deref().unwrap_or("deadline"), ended.verdict.sentence()),
        Some(Outcome::Done | Outcome::Same) => TestCaseStatus::success(),
        Some(Outcome::Failed) => failure(standing.reason.as_deref().unwrap_or("failed"), standing.message.clone()),
        Some(Outcome::Absent) => skipped("not part of this plan"),
        Some(_) => skipped("was under way when the boot ended"),
        None => skipped("was not reached"),
    };
    let mut case = TestCase::new(phase.id(), status);
    case.set_classname("phase");
    if let Some(took) = standing.took() {
        case.set_time(took);
    }
    case
}

fn failure(kind: &str, message: String) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type(kind).set_message(message);
    status
}

fn skipped(why: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(why);
    status
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::boot::board::tests::event;

    #[test]
    fn each_phase_is_a_case_and_the_failed_one_says_why() {
        let mut ended = Ended { verdict: Verdict::Up, ..Ended::default() };
        ended.board.take(&event("wake", Outcome::Done), Duration::from_secs(1));
        ended.board.take(&event("jobs", Outcome::Absent), Duration::from_secs(1));
        let failed = anymetal_contract::Event { reason: Some("disk-full".into()), ..event("install", Outcome::Failed) };
        ended.board.take(&failed, Duration::from_secs(3));
        ended.verdict = Verdict::failed(&ended.board, Phase::Install);
        ended.console.line(b"[ OK ] the \x1b[1mlast\x1b[0m line");
        let text = junit("demo", &ended).unwrap();
        for part in [
            r#"tests="14" skipped="11" errors="0" failures="2""#,
            r#"<testcase name="wake" classname="phase""#,
            r#"<failure message="install failed: install failed (disk-full)" type="disk-full""#,
            r#"<skipped message="not part of this plan"/>"#,
            "[ OK ] the last line",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
