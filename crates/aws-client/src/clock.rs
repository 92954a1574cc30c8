//! How far our clock is from a server's.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

/// What AWS tolerates at the least, whatever the service.
const TOLERATED: Duration = Duration::from_mins(5);

/// Says by how much our clock differs from the time in a `Date` header, if that is more than AWS tolerates.
pub(crate) fn difference(now: SystemTime, date: Option<&str>) -> Option<String> {
    let theirs = DateTime::from_str(date?, Format::HttpDate).ok()?;
    let theirs = SystemTime::try_from(theirs).ok()?;
    let (by, direction) = match now.duration_since(theirs) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    (by > TOLERATED).then(|| format!("our clock is {} {direction} the server's", roughly(by)))
}

/// The two largest units are enough.
fn roughly(time: Duration) -> String {
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
        let said = difference(now, Some("Thu, 01 Jan 2026 00:00:00 GMT"));
        assert_eq!(said.as_deref(), expected);
    }

    #[test]
    fn a_difference_is_told_with_its_direction() {
        const NEW_YEAR: u64 = 1_767_225_600;
        check(NEW_YEAR, None);
        check(NEW_YEAR + 299, None);
        check(NEW_YEAR + 3 * 3600 + 61, Some("our clock is 3 h 1 min ahead of the server's"));
        check(NEW_YEAR - 960, Some("our clock is 16 min behind the server's"));
        check(NEW_YEAR + 90_000, Some("our clock is 1 d 1 h ahead of the server's"));
    }

    #[test]
    fn a_date_that_is_none_says_nothing() {
        assert_eq!(difference(SystemTime::now(), Some("yesterday")), None);
        assert_eq!(difference(SystemTime::now(), None), None);
    }
}
