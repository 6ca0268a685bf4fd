//! Times as Go writes them in JSON and in words.
//! May not wait.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now, in nanoseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A time as RFC 3339.
pub fn text(nanoseconds: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
    humantime::format_rfc3339_nanos(UNIX_EPOCH + since).to_string()
}

/// A time out of RFC 3339, in nanoseconds since 1970.
pub fn parse(text: &str) -> Option<i64> {
    let time = humantime::parse_rfc3339(text).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_nanos()).ok()
}

/// A duration in nanoseconds as Go prints one: `1m0s`, `8s`, `1.5s`, `500ms`.
pub fn words(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let rest = nanoseconds % 1_000_000_000;
    if seconds == 0 {
        return match nanoseconds {
            0 => "0s".to_owned(),
            n if n >= 1_000_000 => format!("{}ms", fraction(n / 1_000_000, n % 1_000_000, 6)),
            n if n >= 1_000 => format!("{}µs", fraction(n / 1_000, n % 1_000, 3)),
            n => format!("{n}ns"),
        };
    }
    let tail = format!("{}s", fraction(seconds % 60, rest, 9));
    match (seconds / 3600, seconds % 3600 / 60) {
        (0, 0) => tail,
        (0, minutes) => format!("{minutes}m{tail}"),
        (hours, minutes) => format!("{hours}h{minutes}m{tail}"),
    }
}

fn fraction(whole: i64, part: i64, digits: usize) -> String {
    let text = format!("{whole}.{part:0digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let of = [(0, "0s"), (8_000_000_000, "8s"), (60_000_000_000, "1m0s"), (1_187_901_581, "1.187901581s")];
        for (nanoseconds, text) in of {
            assert_eq!(words(nanoseconds), text);
        }
        assert_eq!(words(3_600_000_000_000), "1h0m0s");
        assert_eq!(words(1_500_000), "1.5ms");
    }

    #[test]
    fn a_time_is_read_back() {
        assert_eq!(text(1_000_000_001), "1970-01-01T00:00:01.000000001Z");
        assert_eq!(parse("1970-01-01T00:00:01.000000001Z"), Some(1_000_000_001));
    }
}
