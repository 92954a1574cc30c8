//! Formats points in time for the log and the page, in UTC.

use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A date and time such as `2030-01-31T22:24:03Z`.
pub(crate) fn rfc3339(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at).replace_nanosecond(0);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_written_to_the_second() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_896_128_643_999);
        assert_eq!(rfc3339(at), "2030-01-31T22:24:03Z");
    }
}
