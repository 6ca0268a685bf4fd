//! Transfers as they go, on stderr: on a terminal a bar for each and one for all, elsewhere a line when one ends.
//! May not decide anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anymetal_contract::terminal as harmless;
use anymetal_supply::transfer::Watch;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::sys::terminal;

/// A bar with a known end: how much, of how much, bytes per second, and the time left.
const KNOWN: &str =
    "{prefix} [{wide_bar}] {decimal_bytes:>9} of {decimal_total_bytes:<9} {decimal_bytes_per_sec:>11} {eta:>4}";
/// A bar without.
const UNKNOWN: &str = "{prefix} {decimal_bytes:>9} {decimal_bytes_per_sec:>11} {wide_msg}";
/// Names take at most so many columns of a terminal.
const WIDEST_NAME: usize = 30;
/// A bar that hears nothing is drawn anew so often, so that rate and time left fall and rise as they should.
const REDRAW: Duration = Duration::from_millis(250);
/// Bytes between two words on a bar: a link of 64 kB/s moves it once a second.
const STEP: u64 = 64 * 1024;

/// Where transfers are shown.
pub struct Show {
    tally: Mutex<Tally>,
    said: Mutex<BTreeSet<String>>,
    bars: Option<Bars>,
}

/// Bytes that are there, and bytes there will be when that is known, by name.
#[derive(Debug, Default)]
struct Tally(BTreeMap<String, (u64, Option<u64>)>);

struct Bars {
    all: MultiProgress,
    sum: ProgressBar,
    each: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Show {
    /// Bars when stderr is a terminal.
    pub fn on_stderr() -> Self {
        let bars = terminal::is_watched().then(|| {
            let all = MultiProgress::new();
            let sum = all.add(ProgressBar::new(0));
            Bars { all, sum, each: Mutex::default() }
        });
        Self { tally: Mutex::default(), said: Mutex::default(), bars }
    }

    /// These are to come: name, size in bytes when it is known, and bytes that are there already.
    pub fn expect<'a>(&self, coming: impl Iterator<Item = (&'a str, Option<u64>, u64)>) {
        let coming = coming.map(|(name, size, there)| (name.to_owned(), (there, size)));
        held(&self.tally).0.extend(coming);
        if let Some(Bars { sum, .. }) = &self.bars {
            sum.set_style(style(KNOWN));
            sum.set_prefix(self.prefix("all together"));
            self.add_up();
            sum.reset_eta();
            sum.enable_steady_tick(REDRAW);
        }
    }

    /// One is begun, or gone on with.
    pub fn begin(&self, name: &str) {
        let Some(Bars { all, sum, each }) = &self.bars else { return };
        let (there, size) = held(&self.tally).0.get(name).copied().unwrap_or_default();
        let bar = all.insert_before(sum, ProgressBar::no_length());
        bar.set_style(style(if size.is_some() { KNOWN } else { UNKNOWN }));
        bar.set_prefix(self.prefix(name));
        if let Some(size) = size {
            bar.set_length(size);
        }
        bar.set_position(there);
        bar.reset_eta();
        bar.enable_steady_tick(REDRAW);
        held(each).insert(name.to_owned(), bar);
    }

    /// One is over for now; with what there is to say of it.
    pub fn end(&self, name: &str, said: Option<&str>) {
        if let Some(Bars { all, each, .. }) = &self.bars
            && let Some(bar) = held(each).remove(name)
        {
            bar.finish_and_clear();
            all.remove(&bar);
        }
        if let Some(said) = said {
            self.say(&format!("{name}: {said}"));
        }
    }

    /// A line that is about all. A closed stderr is nobody's loss.
    pub fn say(&self, text: &str) {
        match &self.bars {
            Some(Bars { all, .. }) => _ = all.println(harmless::lines(text)),
            None => terminal::talk(text),
        }
    }

    /// No more is to come.
    pub fn finish(&self) {
        if let Some(Bars { sum, .. }) = &self.bars {
            sum.finish_and_clear();
        }
    }

    fn add_up(&self) {
        if let Some(Bars { sum, .. }) = &self.bars {
            let (done, total) = held(&self.tally).sum();
            sum.set_length(total);
            sum.set_position(done);
        }
    }

    /// A name in as many columns as every other.
    fn prefix(&self, name: &str) -> String {
        let widest = held(&self.tally).0.keys().map(|name| name.chars().count()).max().unwrap_or_default();
        column(&harmless::one_line(name), widest.clamp("all together".len(), WIDEST_NAME))
    }
}

impl Watch for Show {
    /// The same sentence is said once, however often something is tried.
    fn word(&self, name: &str, message: &str) {
        let line = line(name, message);
        if held(&self.said).insert(line.clone()) {
            self.say(&line);
        }
    }

    fn progress(&self, name: &str, done: u64, total: Option<u64>) {
        held(&self.tally).0.insert(name.to_owned(), (done, total));
        let Some(Bars { each, .. }) = &self.bars else { return };
        if let Some(bar) = held(each).get(name) {
            if let Some(total) = total.filter(|total| bar.length() != Some(*total)) {
                bar.set_style(style(KNOWN));
                bar.set_length(total);
            }
            bar.set_position(done);
        }
        self.add_up();
    }

    fn step(&self) -> u64 {
        STEP
    }
}

impl Tally {
    /// Bytes that are there and bytes there will be, as far as that is known.
    fn sum(&self) -> (u64, u64) {
        let all = self.0.values();
        all.fold((0, 0), |(there, whole), (done, total)| {
            (there.saturating_add(*done), whole.saturating_add(total.unwrap_or(*done)))
        })
    }
}

/// What is said of one, which it names.
fn line(name: &str, message: &str) -> String {
    if message.contains(name) { message.to_owned() } else { format!("{name}: {message}") }
}

/// Exactly so many columns.
fn column(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:<width$}");
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are right").progress_chars("=> ")
}

/// What a panic of another thread left is as good as before.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_is_what_is_known_of_each() {
        let show = Show { tally: Mutex::default(), said: Mutex::default(), bars: None };
        show.expect([("a", Some(100), 40), ("b", Some(50), 0), ("c", None, 0)].into_iter());
        assert_eq!(held(&show.tally).sum(), (40, 150));
        show.progress("a", 70, Some(100));
        show.progress("c", 5, None);
        assert_eq!(held(&show.tally).sum(), (75, 155));
        show.progress("c", 9, Some(20));
        show.progress("a", 10, Some(100)); // begun anew
        assert_eq!(held(&show.tally).sum(), (19, 170));
    }

    #[test]
    fn a_line_names_its_blob_once() {
        assert_eq!(line("consul 1 x86_64", "http://a answered 404"), "consul 1 x86_64: http://a answered 404");
        assert_eq!(line("consul 1 x86_64", "no origin gave consul 1 x86_64"), "no origin gave consul 1 x86_64");
    }

    #[test]
    fn names_stand_in_columns() {
        assert_eq!(column("consul", 8), "consul  ");
        assert_eq!(column("consul 1", 8), "consul 1");
        assert_eq!(column("consul 1.21.5", 8), "consul …");
    }

    #[test]
    fn the_templates_are_right() {
        for template in [KNOWN, UNKNOWN] {
            style(template);
        }
    }
}
