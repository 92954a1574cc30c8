//! The difference between the local clock and a server's.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// The smallest tolerance of any AWS service.
const TOLERANCE: Duration = Duration::from_mins(5);

/// Describes the difference between the local clock and a `Date` header, if it exceeds the tolerance.
pub(crate) fn describe(now: SystemTime, date: Option<&str>) -> Option<String> {
    let theirs = DateTime::from_str(date?, Format::HttpDate).ok()?;
    let theirs = SystemTime::try_from(theirs).ok()?;
    let (skew, direction) = match now.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (skew > TOLERANCE)
        .then(|| format!("our clock is {} {direction} the server's", format_skew(skew)))
}

/// Formats a duration by its two largest units.
fn format_skew(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / 60 / 24, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(unix: u64, expected: Option<&str>) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(unix);
        let text = describe(now, Some("Thu, 01 Jan 2026 00:00:00 GMT"));
        assert_eq!(text.as_deref(), expected);
    }

    #[test]
    fn a_skew_beyond_the_tolerance_is_described_with_its_direction() {
        const NEW_YEAR: u64 = 1_767_225_600;
        check(NEW_YEAR, None);
        check(NEW_YEAR + 299, None);
        check(NEW_YEAR + 3 * 3600 + 61, Some("our clock is 3 h 1 min ahead of the server's"));
        check(NEW_YEAR - 960, Some("our clock is 16 min behind the server's"));
        check(NEW_YEAR + 90_000, Some("our clock is 1 d 1 h ahead of the server's"));
    }

    #[test]
    fn an_invalid_or_missing_date_is_ignored() {
        assert_eq!(describe(SystemTime::now(), Some("yesterday")), None);
        assert_eq!(describe(SystemTime::now(), None), None);
    }
}
