//! The runner against tables of its own: every way a phase can end, and what the others make of it.
#![expect(clippy::unnecessary_wraps, reason = "the work of a phase answers a `Result`")]

use std::collections::BTreeSet;
use std::sync::{Barrier, LazyLock};

use anymetal_contract::plan::{Arch, Plan};
use anymetal_contract::{Event, Unit, place};
use tempfile::TempDir;

use super::*;
use crate::phase::{Answer, Late, Steps, Work};
use crate::report::tests::Screen;
use crate::sys::fs;
use crate::world::{Overrides, Planned};
use crate::{settle, wake};

const QUICK: Pace = Pace {
    backoff: Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(5) },
    grace: Duration::from_millis(20),
};

const fn entry(phase: Phase, needs: &'static [Phase], deadline: u32, work: Work) -> Entry {
    Entry { phase, needs, deadline, late: Late::Fails, work: Some(work) }
}

type Worked = Result<Answer, Failure>;

fn done(_: &World, _: &dyn Steps) -> Worked {
    Ok(Answer::Done("made".into()))
}

fn same(_: &World, _: &dyn Steps) -> Worked {
    Ok(Answer::Same("was so".into()))
}

fn failing(_: &World, _: &dyn Steps) -> Worked {
    Err(Failure { reason: Reason::ArtefactMismatch, error: anyhow::anyhow!("a cause").context("fetching it") })
}

fn waiting(_: &World, _: &dyn Steps) -> Worked {
    Ok(Answer::waiting(Reason::MetadataNoBgp, "no neighbours yet"))
}

/// A plan with these phases, as if the phase `plan` had read it.
fn planned(phases: &[Phase]) -> Planned {
    let plan = Plan { site: "demo".into(), phases: phases.iter().copied().collect(), ..Plan::default() };
    Planned { plan, digest: "a".repeat(64).parse().unwrap() }
}

struct Ran {
    folder: TempDir,
    world: Arc<World>,
    up: bool,
    screen: Screen,
}

impl Ran {
    fn events(&self) -> Vec<Event> {
        fs::lines(&self.world.at(place::EVENTS)).map(|line| serde_json::from_str(&line).unwrap()).collect()
    }

    /// `phase outcome` of every event without a step.
    fn story(&self) -> Vec<String> {
        let whole = self.events().into_iter().filter(|event| event.step.is_none());
        whole.map(|event| format!("{} {}", event.phase, event.outcome.word())).collect()
    }

    fn end_of(&self, phase: Phase) -> Event {
        let of_phase = |event: &Event| event.phase() == Some(phase) && event.ends_phase();
        self.events().into_iter().find(of_phase).unwrap_or_else(|| panic!("{phase} has no end in {:#?}", self.story()))
    }
}

fn run(table: &'static [Entry], phases: Option<&[Phase]>) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
    fs::replace(&world.at("/etc/machine-id"), b"0123456789abcdef0123456789abcdef\n", 0o444).unwrap();
    if let Some(phases) = phases {
        world.plan.set(planned(phases)).unwrap();
    }
    let world = Arc::new(world);
    let screen = Screen::default();
    let journal = Journal::open(&world, screen.console());
    let up = Runner { table, world: Arc::clone(&world), journal, pace: QUICK }.run().is_ok();
    Ran { folder, world, up, screen }
}

#[test]
fn phases_without_mutual_needs_run_side_by_side() {
    // Each waits inside its work for the other: one after the other they would never end.
    static MEET: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
    fn meeting(_: &World, _: &dyn Steps) -> Worked {
        MEET.wait();
        Ok(Answer::Done("met".into()))
    }
    static TABLE: [Entry; 5] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Plan, &[Phase::Wake], 60, done),
        entry(Phase::Metadata, &[Phase::Plan], 60, meeting),
        entry(Phase::Acquire, &[Phase::Plan], 60, meeting),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let ran = run(&TABLE, Some(&[Phase::Metadata, Phase::Acquire]));
    assert!(ran.up, "{:#?}", ran.story());
    let told = &ran.end_of(Phase::Settle).message;
    assert!(told.starts_with("node is up, plan aaaaaaaaaaaa, "), "{told}");
    let seqs: Vec<u64> = ran.events().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

#[test]
fn what_is_not_part_of_the_plan_is_passed_over_and_counts_as_good() {
    static TABLE: [Entry; 6] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Plan, &[Phase::Wake], 60, done),
        entry(Phase::Metadata, &[Phase::Plan], 60, failing),
        entry(Phase::Facts, &[Phase::Metadata], 60, same),
        Entry { phase: Phase::Jobs, needs: &[Phase::Facts], deadline: 60, late: Late::Fails, work: None },
        entry(Phase::Settle, &[Phase::Jobs], 60, settle::work),
    ];
    let ran = run(&TABLE, Some(&[Phase::Facts]));
    assert!(ran.up);
    assert_eq!(
        ran.story(),
        [
            "wake started",
            "wake done",
            "plan started",
            "plan done",
            "metadata absent",
            "facts started",
            "facts same",
            "jobs absent",
            "settle started",
            "settle done"
        ]
    );
    assert_eq!(ran.end_of(Phase::Metadata).message, "not part of this plan");
    let kept = ran.world.ledger().ask(|ledger| ledger.phases.len());
    assert_eq!(kept, 6, "the ledger does not have every end");
}

#[test]
fn after_a_failure_nothing_new_starts_what_waits_is_let_go_and_settle_tells() {
    static TABLE: [Entry; 6] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Plan, &[Phase::Wake], 60, done),
        entry(Phase::Metadata, &[Phase::Plan], 600, waiting),
        entry(Phase::Acquire, &[Phase::Plan], 60, failing),
        entry(Phase::Install, &[Phase::Acquire], 60, done),
        entry(Phase::Settle, &[Phase::Install], 60, settle::work),
    ];
    let ran = run(&TABLE, Some(&[Phase::Metadata, Phase::Acquire, Phase::Install]));
    assert!(!ran.up);
    assert!(!ran.story().iter().any(|line| line.starts_with("install")), "{:#?}", ran.story());
    let last_wait = ran.events().into_iter().rfind(|event| event.outcome == Outcome::Waiting).unwrap();
    assert_eq!(last_wait.message, "no neighbours yet; not waited for any longer, since acquire has failed");
    let failed = ran.end_of(Phase::Acquire);
    assert_eq!((failed.reason(), failed.message.as_str()), (Some(Reason::ArtefactMismatch), "fetching it: a cause"));
    let end = ran.end_of(Phase::Settle);
    assert_eq!((end.outcome, end.reason()), (Outcome::Failed, Some(Reason::ArtefactMismatch)));
    assert_eq!(end.message, "boot failed in acquire: fetching it: a cause");
    assert!(ran.screen.text().contains(&format!("acquire   hint: {}", Reason::ArtefactMismatch.hint())));
}

#[test]
fn a_wait_is_said_aloud_and_ends_with_its_reason_at_the_deadline() {
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Metadata, &[Phase::Wake], 1, waiting),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let ran = run(&TABLE, None);
    let waits: Vec<Event> = ran.events().into_iter().filter(|event| event.outcome == Outcome::Waiting).collect();
    let [wait] = waits.as_slice() else { panic!("said {} times instead of once: {waits:#?}", waits.len()) };
    assert_eq!((wait.done, wait.total, wait.unit), (Some(0), Some(1), Some(Unit::Seconds)));
    let end = ran.end_of(Phase::Metadata);
    assert_eq!(
        (end.reason(), end.message.as_str()),
        (Some(Reason::MetadataNoBgp), "no neighbours yet, gave up after 1 s")
    );
}

#[test]
fn a_phase_that_goes_on_by_itself_is_told_at_its_deadline_and_the_boot_ends_well() {
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, wake::work),
        Entry { late: Late::GoesOn, ..entry(Phase::Metadata, &[Phase::Wake], 1, waiting) },
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let ran = run(&TABLE, None);
    let end = ran.end_of(Phase::Metadata);
    assert_eq!(
        (end.outcome, end.message.as_str()),
        (Outcome::Done, "no neighbours yet; not waited for any longer after 1 s")
    );
    assert!(ran.up);
}

#[test]
fn a_phase_is_called_again_until_it_no_longer_waits() {
    fn third_time(world: &World, _: &dyn Steps) -> Worked {
        let mut calls = world.changed.lock().unwrap();
        let call = format!("call {}", calls.len());
        calls.insert(call);
        if calls.len() < 3 { waiting_for("more calls") } else { Ok(Answer::Done(format!("{} calls", calls.len()))) }
    }
    fn waiting_for(what: &str) -> Worked {
        Ok(Answer::waiting(Reason::Internal, what))
    }
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Facts, &[Phase::Wake], 60, third_time),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    assert_eq!(run(&TABLE, None).end_of(Phase::Facts).message, "3 calls");
}

#[test]
fn a_phase_that_never_answers_is_given_up_and_not_heard_again() {
    static OPEN: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
    static LATE: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(2));
    fn hanging(_: &World, steps: &dyn Steps) -> Worked {
        steps.step("it", Outcome::Started, "heard");
        OPEN.wait();
        steps.step("it", Outcome::Done, "not heard any more");
        LATE.wait();
        Ok(Answer::Done("too late".into()))
    }
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Install, &[Phase::Wake], 0, hanging),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let ran = run(&TABLE, None);
    let end = ran.end_of(Phase::Install);
    assert_eq!((end.reason(), end.message.as_str()), (Some(Reason::HostFault), "no answer, gave up after 0 s"));
    OPEN.wait();
    LATE.wait();
    let steps: Vec<Event> = ran.events().into_iter().filter(|event| event.step.is_some()).collect();
    assert_eq!(steps.iter().map(|event| event.message.as_str()).collect::<Vec<_>>(), ["heard"]);
    assert!(ran.folder.path().exists());
}

#[test]
fn a_panic_is_our_own_mistake_and_the_boot_still_settles() {
    fn panicking(_: &World, _: &dyn Steps) -> Worked {
        panic!("index out of {}", "bounds")
    }
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Facts, &[Phase::Wake], 60, panicking),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let ran = run(&TABLE, None);
    let end = ran.end_of(Phase::Facts);
    assert_eq!((end.reason(), end.message.as_str()), (Some(Reason::Internal), "it panicked: index out of bounds"));
    assert_eq!(ran.end_of(Phase::Settle).message, "boot failed in facts: it panicked: index out of bounds");
}

#[test]
fn a_plan_sets_the_deadline_over_the_table() {
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, wake::work),
        entry(Phase::Metadata, &[Phase::Wake], 600, waiting),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
    let mut plan = planned(&[Phase::Metadata]);
    plan.plan.deadlines = BTreeMap::from([(Phase::Metadata, 0)]);
    world.plan.set(plan).unwrap();
    fs::replace(&world.at("/etc/machine-id"), b"0123456789abcdef0123456789abcdef\n", 0o444).unwrap();
    let world = Arc::new(world);
    let journal = Journal::open(&world, Screen::default().console());
    let up = Runner { table: &TABLE, world: Arc::clone(&world), journal, pace: QUICK }.run().is_ok();
    let text = String::from_utf8(fs::read(&world.at(place::EVENTS)).unwrap()).unwrap();
    assert!(!up && text.contains("no neighbours yet, gave up after 0 s"), "{text}");
}

#[test]
fn next_never_calls_the_boot_good_while_a_phase_was_never_started() {
    static TABLE: [Entry; 3] = [
        entry(Phase::Wake, &[], 60, done),
        entry(Phase::Plan, &[Phase::Jobs], 60, done),
        entry(Phase::Settle, &[], 60, settle::work),
    ];
    let mut course = Course::default();
    assert_eq!(next(&TABLE, &course, None), Next::Start(Phase::Wake));
    course.ended.insert(Phase::Wake, Outcome::Done);
    assert_eq!(next(&TABLE, &course, None), Next::Start(Phase::Settle));
    assert_eq!(course.verdict(&TABLE).unwrap().to_string(), "boot failed in plan: it was never started");
    course.ended.insert(Phase::Settle, Outcome::Failed);
    assert_eq!(next(&TABLE, &course, Some(&BTreeSet::new())), Next::End);
}
