//! The `Date` of responses while the clock is set back: hyper's own then stays the same until the time is as late as before.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use httpdate::fmt_http_date;

/// The last second of the year 9999, the latest that the format can name.
const LAST: u64 = 253_402_300_799;

thread_local! {
    /// The latest time of a response, until which hyper may repeat its date on this thread.
    static LATEST: Cell<SystemTime> = const { Cell::new(UNIX_EPOCH) };
}

/// The value for a response that is sent now, or `None` if hyper's own is right.
pub(super) fn date_if_set_back() -> Option<HeaderValue> {
    date_at(SystemTime::now())
}

fn date_at(now: SystemTime) -> Option<HeaderValue> {
    if now >= LATEST.get() {
        LATEST.set(now);
        return None;
    }
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs().min(LAST);
    HeaderValue::try_from(fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_is_followed_until_it_is_as_late_as_before() {
        for (seconds, expected) in [
            (784_111_777, None),
            (784_198_177, None),
            (784_111_777, Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            (784_111_778, Some("Sun, 06 Nov 1994 08:49:38 GMT")),
            (0, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
            (784_198_177, None),
        ] {
            let date = date_at(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(date.as_ref().map(|date| date.to_str().expect("text")), expected);
        }
    }
}
