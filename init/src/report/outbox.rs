//! The outbox: every event on disk, a line each, before it is sent; numbered across reboots.
//! May not send.

use std::path::{Path, PathBuf};

use anymetal_contract::Event;

use crate::sys::fs::{self, Appender};

/// How much of the file's end is read to find its last whole line. The longest event is a tenth of it.
const TAIL: u64 = 64 * 1024;
/// A file longer than this becomes the old one, when a run begins and while it goes on: months of boots, and with the old one small enough for
/// any disk, however often a guard that runs for years has something to tell.
const LONG: u64 = 8 * 1024 * 1024;

/// The open outbox.
#[derive(Debug)]
pub(super) struct Outbox {
    path: PathBuf,
    appender: Option<Appender>,
    last: u64,
}

impl Outbox {
    /// Opens it, cuts off what a power cut left of a last line, and goes on counting from there, but above `sent`, the highest number any
    /// report has been told, in case the file has been lost. When it cannot be opened it still counts; the error says why nothing is kept.
    pub(super) fn open(path: &Path, sent: u64) -> (Self, Option<anyhow::Error>) {
        match open(path) {
            Ok((appender, last)) => {
                (Self { path: path.to_owned(), appender: Some(appender), last: last.max(sent) }, None)
            }
            Err(error) => (Self { path: path.to_owned(), appender: None, last: sent }, Some(error)),
        }
    }

    /// The number of the next event.
    pub(super) fn next(&self) -> u64 {
        self.last + 1
    }

    /// Counts the event and keeps it. What ends a phase outlives a power cut; the rest need not be worth the disk's time.
    pub(super) fn keep(&mut self, event: &Event) -> anyhow::Result<()> {
        self.last = event.seq;
        let line = serde_json::to_string(event)?;
        let Some(appender) = &mut self.appender else { anyhow::bail!("the file could not be opened") };
        appender.line(&line, event.ends_phase())?;
        if appender.length() > LONG {
            fs::rename(&self.path, &old(&self.path))?;
            *appender = Appender::open(&self.path, 0)?;
        }
        Ok(())
    }
}

fn open(path: &Path) -> anyhow::Result<(Appender, u64)> {
    let (start, bytes) = fs::tail(path, TAIL)?;
    let (keep, last) = whole(&bytes);
    let length = start + keep as u64;
    // Nothing whole in so much: not ours, or badly damaged; either way not to be cut to nothing.
    let unreadable = keep == 0 && start > 0;
    if unreadable || length > LONG {
        fs::rename(path, &old(path))?;
        return Ok((Appender::open(path, 0)?, last));
    }
    Ok((Appender::open(path, length)?, last))
}

fn old(path: &Path) -> PathBuf {
    path.with_extension("jsonl.old")
}

/// How many of these bytes end with a whole event, and that event's number.
fn whole(bytes: &[u8]) -> (usize, u64) {
    let mut end = bytes.len();
    while let Some(feed) = bytes[..end].iter().rposition(|byte| *byte == b'\n') {
        let start = bytes[..feed].iter().rposition(|byte| *byte == b'\n').map_or(0, |before| before + 1);
        if let Ok(event) = serde_json::from_slice::<Event>(&bytes[start..feed]) {
            return (feed + 1, event.seq);
        }
        end = feed;
    }
    (0, 0)
}

/// The events of earlier runs with a number above `after` and below `before`, in order.
pub(super) fn backlog(path: &Path, after: u64, before: u64) -> impl Iterator<Item = Event> + use<> {
    // The newer one first: should it become the old one in between it is read twice, which shows in the numbers, and not missed.
    let newer = fs::lines(path);
    let events = fs::lines(&old(path)).chain(newer).filter_map(|line| serde_json::from_str::<Event>(&line).ok());
    let mut last = after;
    events.filter(move |event| {
        let is_next = event.seq > last && event.seq < before;
        last = if is_next { event.seq } else { last };
        is_next
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests prepare their own files")]

    use anymetal_contract::{Outcome, Phase};

    use super::*;
    use crate::report::tests::event;

    fn numbered(seq: u64) -> Event {
        Event { seq, ..event(Phase::Wake, Outcome::Done) }
    }

    fn line(seq: u64) -> String {
        serde_json::to_string(&numbered(seq)).unwrap()
    }

    #[test]
    fn numbers_go_on_after_the_last_whole_line_whatever_a_power_cut_left() {
        let two = format!("{}\n{}\n", line(6), line(7));
        for (torn, why) in [
            (String::new(), "nothing"),
            (line(8)[..30].to_owned(), "half a line"),
            ("\0".repeat(100), "zeros"),
            (format!("{}\n\0\0\n", &line(8)[..30]), "half a line and zeros with line feeds"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("events.jsonl");
            std::fs::write(&path, format!("{two}{torn}")).unwrap();
            let (mut outbox, error) = Outbox::open(&path, 0);
            assert!(error.is_none(), "{error:?}");
            assert_eq!(outbox.next(), 8, "after {why}");
            outbox.keep(&numbered(8)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{two}{}\n", line(8)), "after {why}");
        }
    }

    #[test]
    fn numbers_never_fall_behind_what_reports_have_been_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log/events.jsonl");
        assert_eq!(Outbox::open(&path, 0).0.next(), 1);
        assert_eq!(Outbox::open(&path, 41).0.next(), 42);
    }

    #[test]
    fn the_backlog_is_what_lies_between_two_numbers_over_both_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(old(&path), format!("{}\n{}\n", line(1), line(2))).unwrap();
        std::fs::write(&path, format!("{}\nnot an event\n{}\n{}\n", line(3), line(4), line(5))).unwrap();
        assert_eq!(backlog(&path, 1, 5).map(|event| event.seq).collect::<Vec<_>>(), [2, 3, 4]);
    }

    #[test]
    fn a_file_that_grows_long_while_it_is_written_is_turned_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.jsonl");
        let (mut outbox, error) = Outbox::open(&path, 0);
        assert!(error.is_none(), "{error:?}");
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let most = 3 * LONG / 6000;
        for seq in 1..=most {
            outbox.keep(&Event { message: "x".repeat(6000), ..numbered(seq) }).unwrap();
            assert!(length(&path) <= LONG, "{} bytes", length(&path));
        }
        assert!(length(&old(&path)) > LONG && length(&old(&path)) < LONG + 8192, "{} bytes", length(&old(&path)));
        // Both files are of a piece, and the numbers go on.
        let kept: Vec<u64> = backlog(&path, 0, u64::MAX).map(|event| event.seq).collect();
        assert_eq!(kept.last(), Some(&most));
        assert!(kept.windows(2).all(|pair| pair[1] == pair[0] + 1), "a number is missing");
        assert_eq!(Outbox::open(&path, 0).0.next(), most + 1);
    }

    #[test]
    fn a_long_or_foreign_file_is_set_aside_not_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        std::fs::write(&path, format!("{}{}\n", " \n".repeat(5 << 20), line(9))).unwrap();
        assert_eq!(Outbox::open(&path, 0).0.next(), 10);
        assert_eq!(std::fs::metadata(old(&path)).unwrap().len(), (10 << 20) + line(9).len() as u64 + 1);
        std::fs::write(&path, "x".repeat(100_000)).unwrap();
        assert_eq!(Outbox::open(&path, 0).0.next(), 1);
        assert_eq!(std::fs::metadata(old(&path)).unwrap().len(), 100_000);
    }

    #[test]
    fn without_a_file_events_are_counted_and_the_error_is_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("log"), "a file where a folder should be").unwrap();
        let (mut outbox, error) = Outbox::open(&folder.path().join("log/events.jsonl"), 3);
        assert!(format!("{:#}", error.unwrap()).contains("log"));
        assert!(outbox.keep(&numbered(4)).is_err());
        assert_eq!(outbox.next(), 5);
    }
}
