//! Text for people: amounts, and foreign text made harmless.
//! May not know where it is shown.

use anymetal_contract::{Unit, terminal};

/// How much of what: `12.3 of 40.1 MB`, `3 of 4`, `12 s of 900`.
pub(crate) fn amount(done: u64, total: Option<u64>, unit: Unit) -> String {
    match (unit, total) {
        (Unit::Bytes, Some(total)) => {
            let scale = Scale::of(total);
            format!("{} of {} {}", scale.number(done), scale.number(total), scale.name)
        }
        (Unit::Bytes, None) => {
            let scale = Scale::of(done);
            format!("{} {}", scale.number(done), scale.name)
        }
        (Unit::Seconds, Some(total)) => format!("{done} s of {total}"),
        (Unit::Seconds, None) => format!("{done} s"),
        (Unit::Items | Unit::Unknown, Some(total)) => format!("{done} of {total}"),
        (Unit::Items | Unit::Unknown, None) => format!("{done}"),
    }
}

/// A decimal unit of bytes, as disks and links are sold.
struct Scale {
    name: &'static str,
    bytes: u64,
}

impl Scale {
    fn of(bytes: u64) -> Self {
        match bytes {
            0..1_000 => Self { name: "B", bytes: 1 },
            1_000..1_000_000 => Self { name: "kB", bytes: 1_000 },
            1_000_000..1_000_000_000 => Self { name: "MB", bytes: 1_000_000 },
            _ => Self { name: "GB", bytes: 1_000_000_000 },
        }
    }

    fn number(&self, bytes: u64) -> String {
        if self.bytes == 1 { bytes.to_string() } else { format!("{:.1}", bytes as f64 / self.bytes as f64) }
    }
}

/// The most characters of one message. Twenty lines of a unit's journal fit; a page of HTML does not.
const LONGEST: usize = 4000;

/// Foreign text that can be printed: what could steer a terminal or turn the reading direction is written out, lines stay lines, and what is
/// too long is cut.
pub(crate) fn harmless(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for (place, c) in text.trim_end().chars().enumerate() {
        if place == LONGEST {
            clean.push('…');
            break;
        }
        match c {
            '\t' => clean.push(' '),
            '\r' => {}
            c if c != '\n' && terminal::steers(c) => clean.extend(c.escape_default()),
            c => clean.push(c),
        }
    }
    clean
}

/// All on one line, of at most `most` characters.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let joined = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ");
    if joined.chars().count() <= most {
        return joined;
    }
    joined.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_in_the_unit_of_the_whole() {
        for (done, total, unit, words) in [
            (12_345_678, Some(40_100_000), Unit::Bytes, "12.3 of 40.1 MB"),
            (512, Some(40_100_000), Unit::Bytes, "0.0 of 40.1 MB"),
            (999, None, Unit::Bytes, "999 B"),
            (1_500, None, Unit::Bytes, "1.5 kB"),
            (2_500_000_000, Some(5_000_000_000), Unit::Bytes, "2.5 of 5.0 GB"),
            (12, Some(900), Unit::Seconds, "12 s of 900"),
            (12, None, Unit::Seconds, "12 s"),
            (3, Some(4), Unit::Items, "3 of 4"),
        ] {
            assert_eq!(amount(done, total, unit), words);
        }
    }

    #[test]
    fn what_could_steer_a_terminal_is_written_out() {
        assert_eq!(harmless("a\u{1b}[2Jb\u{7}\tc\r\nd\u{9b}\u{202e}e\n\n"), "a\\u{1b}[2Jb\\u{7} c\nd\\u{9b}\\u{202e}e");
        let long = harmless(&"é".repeat(5000));
        assert_eq!((long.chars().count(), long.ends_with('…')), (4001, true));
    }

    #[test]
    fn one_line_joins_and_cuts_at_characters() {
        assert_eq!(one_line("bird has failed\n  line 1\n\nline 2", 100), "bird has failed | line 1 | line 2");
        assert_eq!(one_line("éééééé", 4), "ééé…");
        assert_eq!(one_line("éééé", 4), "éééé");
    }
}
