//! Times, durations and lines as the page shows them.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use probe::scrub;

use crate::runner::Moment;
use crate::timestamp::rfc3339;

/// A line that was kept, without what has become known as a secret since.
pub(super) fn clean(line: &str) -> String {
    scrub(line)
}

/// A time of today, or a date and time.
pub(super) fn time(at: SystemTime, now: Moment) -> Markup {
    let (full, today) = (rfc3339(at), rfc3339(now.wall()));
    let (date, clock) = full.split_once('T').unwrap_or_default();
    let clock = clock.trim_end_matches('Z');
    html! {
        time datetime=(full) {
            @if !today.starts_with(date) { (date) " " }
            (clock)
        }
    }
}

/// A time and how long ago it was.
pub(super) fn ago(at: Moment, now: Moment) -> Markup {
    html! { (time(at.wall(), now)) " (" (age(now.since(at))) ")" }
}

/// A time span, to its two largest units.
pub(super) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (seconds, minutes, hours) {
        (0..60, ..) => format!("{seconds} s"),
        (_, 0..60, _) => format!("{minutes} min"),
        (_, _, 0..24) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// A duration of a run or a step.
pub(super) fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_secs_f64() * 1e3;
    match milliseconds {
        ..10.0 => format!("{milliseconds:.1} ms"),
        ..999.5 => format!("{milliseconds:.0} ms"),
        _ if duration.subsec_millis() == 0 => format!("{} s", duration.as_secs()),
        _ => format!("{:.2} s", milliseconds / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_at_most_two_units() {
        for (seconds, expected) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (12_360, "3 h 26 min"),
            (187_200, "2 d 4 h"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn a_duration_has_few_digits() {
        for (microseconds, expected) in [
            (0, "0.0 ms"),
            (412, "0.4 ms"),
            (99_600, "100 ms"),
            (999_800, "1.00 s"),
            (1_240_000, "1.24 s"),
            (5_000_000, "5 s"),
        ] {
            assert_eq!(duration(Duration::from_micros(microseconds)), expected);
        }
    }

    #[test]
    fn a_time_of_another_day_has_its_date() {
        let now = Moment::at(90_000);
        let shown = |second| time(Moment::at(second).wall(), now).into_string();
        assert_eq!(shown(86_461), "<time datetime=\"1970-01-02T00:01:01Z\">00:01:01</time>");
        let other = "<time datetime=\"1970-01-01T00:00:59Z\">1970-01-01 00:00:59</time>";
        assert_eq!(shown(59), other);
    }
}
