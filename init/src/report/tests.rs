//! The journal as a whole: what is told arrives everywhere, whatever fails.
#![expect(clippy::disallowed_methods, reason = "tests prepare and read their own files")]

use std::io::Write;

use anymetal_contract::plan::Arch;
use anymetal_lab::http::{Response, Server};
use tempfile::TempDir;

use super::*;
use crate::world::Overrides;

/// An event of this phase and outcome, with the message `m`.
pub(crate) fn event(phase: Phase, outcome: Outcome) -> Event {
    Event {
        kind: KIND.into(),
        version: VERSION,
        seq: 1,
        by: None,
        time: "2026-11-22T10:00:00.000Z".into(),
        site: "demo".into(),
        node: "n1".into(),
        plan: String::new(),
        phase: phase.id().into(),
        step: None,
        outcome,
        reason: None,
        message: "m".into(),
        done: None,
        total: None,
        unit: None,
    }
}

/// A console whose lines can be read.
#[derive(Clone, Default)]
pub(crate) struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Screen {
    pub(crate) fn console(&self) -> Console {
        Console::to(vec![Box::new(self.clone())])
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

const QUICK: Backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(5) };
const LONG: Duration = Duration::from_secs(30);

fn node() -> (TempDir, World) {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(folder.path(), Arch::X86_64, Overrides::default());
    fs::replace(&world.at(HOSTNAME), b"n1\n", 0o644).unwrap();
    (folder, world)
}

fn tell(journal: &Journal, messages: &[&str]) {
    for message in messages {
        journal.say(&Said::new(Phase::Wake, Outcome::Done, message));
    }
}

/// The messages a server got, in order.
fn got(server: &Server) -> Vec<(u64, String)> {
    let read = |body: &[u8]| serde_json::from_slice::<Event>(body).unwrap();
    server.requests().iter().map(|request| read(&request.body)).map(|event| (event.seq, event.message)).collect()
}

fn pairs(pairs: &[(u64, &str)]) -> Vec<(u64, String)> {
    pairs.iter().map(|(seq, message)| (*seq, (*message).to_owned())).collect()
}

#[test]
fn what_is_said_is_on_disk_on_the_console_and_in_the_status() {
    let (_folder, world) = node();
    let screen = Screen::default();
    let journal = Journal::open(&world, screen.console());
    journal.identify("demo", &"a".repeat(64));
    journal
        .say(&Said { took: Some(Duration::from_secs(2)), ..Said::new(Phase::Wake, Outcome::Done, "first\u{1b} run") });
    let line = std::fs::read_to_string(world.at(place::EVENTS)).unwrap();
    let event: Event = serde_json::from_str(&line).unwrap();
    assert_eq!((event.seq, event.site.as_str(), event.node.as_str()), (1, "demo", "n1"));
    assert_eq!((event.plan.len(), event.message.as_str()), (64, "first\\u{1b} run"));
    assert_eq!(screen.text(), "anymetal [01/12] wake      done after 2 s: first\\u{1b} run\n");
    let status: Status = serde_json::from_slice(&std::fs::read(world.at(place::STATUS)).unwrap()).unwrap();
    assert_eq!((status.phases[0].seconds, status.last), (Some(2), Some(event)));
}

#[test]
fn a_sink_gets_everything_in_order_over_troubles_and_reboots() {
    let (_folder, world) = node();
    let server = Server::start(|_, before| if before == 1 { Response::new(503, "busy") } else { Response::ok("") });
    let hook = To::Webhook(format!("{}/hook?token=T0K3N", server.url()));
    let screen = Screen::default();

    let first = Journal::open(&world, screen.console());
    tell(&first, &["one", "two"]);
    first.attach(&hook, Outside::default(), QUICK);
    first.attach(&hook, Outside::default(), QUICK);
    first.settle(LONG);
    assert_eq!(got(&server), pairs(&[(1, "one"), (2, "two"), (2, "two")]));

    tell(&Journal::open(&world, screen.console()), &["said while nothing was attached"]);

    let third = Journal::open(&world, screen.console());
    tell(&third, &["four"]);
    third.attach(&hook, Outside::default(), QUICK);
    third.settle(LONG);
    assert_eq!(got(&server)[3..], pairs(&[(3, "said while nothing was attached"), (4, "four")]));
    let text = screen.text();
    assert!(
        text.contains("webhook 127.0.0.1:") && text.contains("does not take events: it answers 503 busy"),
        "{text}"
    );
    assert!(text.contains("takes events again") && !text.contains("T0K3N"), "{text}");
}

#[test]
fn the_platform_gets_beginnings_waits_and_ends_in_its_own_form() {
    let (_folder, world) = node();
    let server = Server::start(|_, _| Response::ok(""));
    let journal = Journal::open(&world, Screen::default().console());
    journal.say(&Said::new(Phase::Wake, Outcome::Started, "started"));
    journal.say(&Said { step: Some("ledger"), ..Said::new(Phase::Wake, Outcome::Done, "set aside") });
    tell(&journal, &["first run"]);
    journal.attach(&To::Platform(format!("{}/events", server.url())), Outside::default(), QUICK);
    journal.settle(LONG);
    let posted: Vec<String> =
        server.requests().iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect();
    assert_eq!(
        posted,
        [
            r#"{"code":1000,"message":"wake started","state":"running"}"#,
            r#"{"code":1002,"message":"wake done: first run","state":"running"}"#
        ]
    );
    let cursor = std::fs::read_to_string(world.at(place::CURSORS).join("platform")).unwrap();
    assert_eq!(cursor, "3\n", "an event that is not told counts as dealt with");
}

#[test]
fn an_event_refused_three_times_is_skipped_with_one_line() {
    let (_folder, world) = node();
    let server = Server::start(|_, before| if before < 3 { Response::new(400, "no") } else { Response::ok("") });
    let screen = Screen::default();
    let journal = Journal::open(&world, screen.console());
    journal.attach(&To::Webhook(server.url()), Outside::default(), QUICK);
    tell(&journal, &["one", "two"]);
    journal.settle(LONG);
    assert_eq!(got(&server), pairs(&[(1, "one"), (1, "one"), (1, "one"), (2, "two")]));
    assert_eq!(screen.text().matches("refuses event 1: it answers 400 no; it is skipped").count(), 1);
}

#[test]
fn a_sink_that_is_not_there_holds_up_the_end_no_longer_than_told_and_its_events_are_kept() {
    let (_folder, world) = node();
    let closed = Server::start(|_, _| Response::ok("")).url();
    let screen = Screen::default();
    let journal = Journal::open(&world, screen.console());
    journal.attach(&To::Webhook(closed), Outside::default(), QUICK);
    tell(&journal, &["one", "two"]);
    journal.settle(Duration::from_millis(100));
    let text = screen.text();
    assert!(text.contains("has not taken the last 2 events: kept, and sent by the next run"), "{text}");
}

#[test]
fn without_a_place_on_disk_events_are_still_shown_and_sent() {
    let (_folder, world) = node();
    std::fs::create_dir_all(world.at("/var")).unwrap();
    std::fs::write(world.at("/var/log"), "a file where a folder should be").unwrap();
    let server = Server::start(|_, _| Response::ok(""));
    let screen = Screen::default();
    let journal = Journal::open(&world, screen.console());
    journal.attach(&To::Webhook(server.url()), Outside::default(), QUICK);
    tell(&journal, &["one", "two"]);
    journal.settle(LONG);
    assert_eq!(got(&server), pairs(&[(1, "one"), (2, "two")]));
    let text = screen.text();
    assert_eq!(text.matches("events are not kept in /var/log/anymetal/events.jsonl").count(), 1, "{text}");
    assert!(text.contains("wake      done: two"), "{text}");
}

#[test]
fn the_console_is_spared_most_progress_and_the_file_has_it_all() {
    let (_folder, world) = node();
    let screen = Screen::default();
    let journal = Journal::open(&world, screen.console());
    for done in 1..=3 {
        let amount = Some(Amount { done, total: Some(3), unit: Unit::Items });
        let said = Said::new(Phase::Acquire, Outcome::Progress, "so far");
        journal.say(&Said { step: Some("consul"), amount, ..said });
    }
    assert_eq!(screen.text(), "anymetal [04/12] acquire   consul: so far\n");
    assert_eq!(fs::lines(&world.at(place::EVENTS)).count(), 3);
}

#[test]
fn a_sink_that_is_behind_what_is_remembered_gets_the_rest_from_the_file() {
    let (_folder, world) = node();
    let journal = Journal::of_guard(&world, Screen::default().console());
    journal.desk().remembered = 4;
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    // The first is taken only once all has been said.
    let server = Server::start(move |_, before| {
        if before == 0 {
            gate.lock().unwrap().recv_timeout(LONG).unwrap();
        }
        Response::ok("")
    });
    journal.attach(&To::Webhook(server.url()), Outside::default(), QUICK);
    let count = 20;
    for number in 1..=count {
        journal.say(&Said::new(Phase::Announce, Outcome::Progress, &number.to_string()));
    }
    open.send(()).unwrap();
    journal.settle(LONG);
    let got: Vec<u64> = got(&server).into_iter().map(|(seq, _)| seq).collect();
    assert!(got.iter().copied().eq(1..=count), "{} of {count} came, or not in their order", got.len());
}
