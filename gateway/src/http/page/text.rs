//! Times, durations and lines as the page shows them.

use std::time::{Duration, SystemTime};

use maud::{Markup, html};
use probe::scrub;

use crate::runner::Moment;
use crate::timestamp::rfc3339;

/// A space at which no line ends.
pub(super) const NBSP: char = '\u{a0}';

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

/// A time span, to its two largest units. No line ends between a number and its unit.
pub(super) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (seconds, minutes, hours) {
        (0..60, ..) => format!("{seconds}{NBSP}s"),
        (_, 0..60, _) => format!("{minutes}{NBSP}min"),
        (_, _, 0..24) => format!("{hours}{NBSP}h {}{NBSP}min", minutes % 60),
        _ => format!("{days}{NBSP}d {}{NBSP}h", hours % 24),
    }
}

/// A duration of a run or a step. None is shown as zero.
pub(super) fn duration(duration: Duration) -> String {
    let (microseconds, milliseconds) = (duration.as_micros(), duration.as_secs_f64() * 1e3);
    match milliseconds {
        ..0.001 => format!("< 1{NBSP}µs"),
        ..0.1 => format!("{microseconds}{NBSP}µs"),
        ..10.0 => format!("{milliseconds:.1}{NBSP}ms"),
        ..999.5 => format!("{milliseconds:.0}{NBSP}ms"),
        _ if duration.subsec_millis() == 0 => format!("{}{NBSP}s", duration.as_secs()),
        _ => format!("{:.2}{NBSP}s", milliseconds / 1e3),
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
            let age = age(Duration::from_secs(seconds));
            assert_eq!(age.replace(NBSP, " "), expected);
            // Only the two units may be on two lines.
            assert_eq!(age.split(' ').count(), expected.split(' ').count() / 2, "{age}");
        }
    }

    #[test]
    fn a_duration_has_few_digits() {
        for (microseconds, expected) in [
            (0, "< 1 µs"),
            (1, "1 µs"),
            (99, "99 µs"),
            (100, "0.1 ms"),
            (412, "0.4 ms"),
            (99_600, "100 ms"),
            (999_800, "1.00 s"),
            (1_240_000, "1.24 s"),
            (5_000_000, "5 s"),
        ] {
            let duration = duration(Duration::from_micros(microseconds));
            assert_eq!(duration.replace(NBSP, " "), expected);
            assert!(!duration.trim_start_matches("< ").contains(' '), "{duration}");
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
