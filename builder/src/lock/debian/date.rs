//! Dates as archives' tools write them, in the forms that apt reads.
//! May not tell the time.

use std::time::SystemTime;

use anyhow::{Context as _, Result};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// The names of the only zone that apt 2.6 takes without a warning.
const ZONES: [&str; 5] = ["UTC", "GMT", "Z", "+0000", "-0000"];

/// The moment that a text names, as in `Sat, 11 Jul 2026 10:16:37 UTC`; a day and an hour of one digit are good, as Go's and Java's libraries write them.
/// The two older forms of HTTP, which apt reads too, are `Saturday, 11-Jul-26 10:16:37 GMT` and `Sat Jul 11 10:16:37 2026`. Which day of the week it says
/// is not held against it: apt does not look.
pub fn moment(text: &str) -> Result<SystemTime> {
    read(text).with_context(|| format!("{text:?} is no date as in \"Sat, 11 Jul 2026 10:16:37 UTC\""))
}

fn read(text: &str) -> Option<SystemTime> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (day, month, year, time) = match words[..] {
        [name, day, month, year, time, zone] if ZONES.contains(&zone) => {
            named(&DAYS, name.strip_suffix(',')?)?;
            (day, month, year.to_owned(), time)
        }
        [name, date, time, zone] if ZONES.contains(&zone) => {
            let full = name.strip_suffix(',')?.strip_suffix("day")?;
            named(&DAYS, full.get(..3)?)?;
            let [day, month, year] = date.split('-').collect::<Vec<_>>()[..] else { return None };
            // as RFC 9110 says: nothing of ours is older than this century
            (day, month, format!("20{}", digits(year, 2..=2)?), time)
        }
        [name, month, day, time, year] => {
            named(&DAYS, name)?;
            (day, month, year.to_owned(), time)
        }
        _ => return None,
    };
    let month = named(&MONTHS, month)? + 1;
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>()[..] else { return None };
    let (day, year) = (digits(day, 1..=2)?, digits(&year, 4..=4)?);
    let (hour, minute, second) = (digits(hour, 1..=2)?, digits(minute, 2..=2)?, digits(second, 2..=2)?);
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day:0>2}T{hour:0>2}:{minute}:{second}Z")).ok()
}

/// The place of a name in a list, in whatever case.
fn named(names: &[&str], name: &str) -> Option<usize> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name))
}

/// The text, when it is so many digits.
fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<&str> {
    (count.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Each of these was given to apt-get 2.6.1, in a signed archive: it takes the first without a word, and warns of each of the others.
    #[test]
    fn dates_are_read_as_apt_reads_them() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let wanted = at(1_793_787_397);
        for date in [
            "Wed, 04 Nov 2026 10:16:37 UTC",
            "Wed, 4 Nov 2026 10:16:37 UTC",
            "Wed,  4 Nov 2026 10:16:37 UTC",
            "Wed, 04 Nov 2026 10:16:37 GMT",
            "Wed, 04 Nov 2026 10:16:37 Z",
            "Wed, 04 Nov 2026 10:16:37 +0000",
            "Wed, 04 Nov 2026 10:16:37 -0000",
            "Wed,\t04 Nov 2026  10:16:37  UTC",
            "wed, 04 nov 2026 10:16:37 UTC",
            // a Wednesday
            "Fri, 04 Nov 2026 10:16:37 UTC",
            "Wednesday, 04-Nov-26 10:16:37 GMT",
            "Wed Nov  4 10:16:37 2026",
        ] {
            assert_eq!(moment(date).unwrap(), wanted, "{date}");
        }
        assert_eq!(moment("Wed, 04 Nov 2026 9:16:37 UTC").unwrap(), at(1_793_783_797));
        for date in [
            "Wed, 04 Nov 2026 10:16:37 +0200",
            "Wed, 04 Nov 2026 10:16:37 CET",
            "Wed, 04 Nov 2026 10:16:37 utc",
            "Sat., 14 Nov 2026 10:16:37 UTC",
            "04 Nov 2026 10:16:37 UTC",
            "Wednesday, 04 Nov 2026 10:16:37 UTC",
            "Wed Nov  4 10:16:37 UTC 2026",
            "2026-11-04T10:16:37Z",
            "Wed, 31 Feb 2026 10:16:37 UTC",
            "Wed, 004 Nov 2026 10:16:37 UTC",
            "UTC",
            "",
        ] {
            assert!(moment(date).is_err(), "{date:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[A-Za-zé]{0,9},? [0-9é-]{0,9} ?([A-Za-zé]{3} [0-9]{0,5} )?[0-9:é]{0,9} (UTC|Z|[0-9]{4})?", other: String) {
            let _either = (moment(&text), moment(&other));
        }
    }
}
