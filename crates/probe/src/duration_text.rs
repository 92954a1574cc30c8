//! Durations in error texts.

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
}
