//! Whether the clock is so wrong that it has to be set before a certificate can be checked.
//! May not read or set a clock: `now` is given, and the answer is a value.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Certificates live for days at least; a clock that is off by less than this never made one look wrong.
const TOLERATED: Duration = Duration::from_hours(1);
/// The day this version of the source was made, and which version that is: a constant, so that the same source is always the same program.
/// Raised with every release; a test holds the two together. 1 November 2026 UTC.
const RELEASED: (&str, Duration) = ("0.1.0", Duration::from_hours(20_758 * 24));
/// So long after its release nobody runs this program any more: a date beyond is wrong, or a lie that would make every certificate look expired.
const LIFE: Duration = Duration::from_hours(3_653 * 24);

/// The first and the last moment that a clock is ever set to.
pub(super) fn bounds() -> std::ops::RangeInclusive<SystemTime> {
    let released = UNIX_EPOCH + RELEASED.1;
    released..=released + LIFE
}

/// What to do about the clock.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Correction {
    /// It is good enough.
    Keep,
    /// Set it to `to`; `off` says for people by how much it is wrong.
    Step { to: SystemTime, off: String },
    /// The date says nothing that can be used, and why.
    Unusable(String),
}

/// Decides by the `Date` header of an answer (RFC 9110 section 6.6.1) and what the clock says now.
pub(super) fn correction(date: &str, now: SystemTime) -> Correction {
    let Ok(to) = httpdate::parse_http_date(date.trim()) else {
        return Correction::Unusable(format!(
            "the date {:?} is not one of HTTP",
            date.chars().take(60).collect::<String>()
        ));
    };
    if to < *bounds().start() {
        return Correction::Unusable(format!("the date {date} is before this program was made"));
    }
    if to > *bounds().end() {
        return Correction::Unusable(format!("the date {date} is more than ten years after this program was made"));
    }
    let (off, direction) = match to.duration_since(now) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead"),
    };
    if off <= TOLERATED {
        return Correction::Keep;
    }
    Correction::Step { to, off: format!("{} {direction}", spoken(off)) }
}

/// How long, as a person says it.
fn spoken(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match minutes / 60 {
        hours @ ..48 => format!("{hours} h {} min", minutes % 60),
        hours => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: &str = "Sun, 22 Nov 2026 12:00:00 GMT";

    fn at(text: &str) -> SystemTime {
        humantime::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn only_a_clock_more_than_an_hour_off_is_stepped() {
        let to = at("2026-11-22T12:00:00Z");
        let step = |off: &str| Correction::Step { to, off: off.into() };
        for (now, expected) in [
            ("2026-11-22T12:00:00Z", Correction::Keep),
            ("2026-11-22T11:00:00Z", Correction::Keep),
            ("2026-11-22T13:00:00Z", Correction::Keep),
            ("2026-11-22T10:59:59Z", step("1 h 0 min behind")),
            ("2026-11-22T13:00:01Z", step("1 h 0 min ahead")),
            ("2026-11-21T23:30:00Z", step("12 h 30 min behind")),
            ("1970-01-01T00:00:00Z", step("20779 days behind")),
        ] {
            assert_eq!(correction(NOON, at(now)), expected, "at {now}");
        }
    }

    #[test]
    fn the_day_of_the_release_is_raised_with_the_version() {
        assert_eq!(RELEASED.0, env!("CARGO_PKG_VERSION"), "set RELEASED to this version and the day it is made");
        let days = [bounds().start(), bounds().end()].map(|at| humantime::format_rfc3339_seconds(*at).to_string());
        assert_eq!(days, ["2026-11-01T00:00:00Z", "2036-11-01T00:00:00Z"]);
    }

    #[test]
    fn a_date_that_cannot_be_right_is_not_followed() {
        for date in [
            "",
            "yesterday",
            "2026-11-22T12:00:00Z",
            "Thu, 01 Jan 1970 00:00:00 GMT",
            "Sat, 31 Oct 2026 23:59:59 GMT",
            "Sat, 01 Nov 2036 00:00:01 GMT",
            "Thu, 31 Dec 2099 23:59:59 GMT",
        ] {
            let decided = correction(date, at("2026-11-22T12:00:00Z"));
            assert!(matches!(decided, Correction::Unusable(_)), "{date:?} gave {decided:?}");
        }
    }
}
