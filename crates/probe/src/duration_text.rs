//! Durations in error texts.

use std::time::Duration;

/// Seconds in the largest unit of which there is at least one, rounded down: `6 days`.
pub fn in_largest_unit(seconds: u64) -> String {
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural}")
}

/// A duration in seconds, or in milliseconds below one: `90s`, `1.5s`, `250ms`.
pub fn in_seconds(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    match (milliseconds / 1000, milliseconds % 1000) {
        (0, 1..) => format!("{milliseconds}ms"),
        (seconds, 0) => format!("{seconds}s"),
        (seconds, rest) => format!("{seconds}.{rest:03}").trim_end_matches('0').to_owned() + "s",
    }
}

/// Seconds in the largest unit of which there are at least two, rounded down: `90s`, `2m`.
pub fn in_short(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7200 => format!("{}m", seconds / 60),
        _ => format!("{}h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_given_in_its_largest_unit() {
        let texts: Vec<_> = [1, 59, 60, 7200, 86_399, 200_000].map(in_largest_unit).into();
        assert_eq!(texts, ["1 second", "59 seconds", "1 minute", "2 hours", "23 hours", "2 days"]);
        let texts: Vec<_> = [1, 119, 120, 7199, 7200].map(in_short).into();
        assert_eq!(texts, ["1s", "119s", "2m", "119m", "2h"]);
    }

    #[test]
    fn a_duration_in_seconds_has_milliseconds_only_if_it_needs_them() {
        for (milliseconds, expected) in
            [(0, "0s"), (250, "250ms"), (1000, "1s"), (1500, "1.5s"), (61_234, "61.234s")]
        {
            assert_eq!(in_seconds(Duration::from_millis(milliseconds)), expected);
        }
        assert_eq!(in_seconds(Duration::from_hours(1)), "3600s");
    }
}
