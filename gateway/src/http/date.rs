//! The `Date` of responses, as it is now: hyper's own stays the same for as long as the clock was set back.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use httpdate::fmt_http_date;

/// The last second of the year 9999, the latest that the format can name.
const LATEST: u64 = 253_402_300_799;

thread_local! {
    /// The last value, and its seconds since 1970.
    static LAST: RefCell<Option<(u64, HeaderValue)>> = const { RefCell::new(None) };
}

/// The value for a response that is sent now.
pub(super) fn date() -> HeaderValue {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    value(seconds.min(LATEST))
}

fn value(seconds: u64) -> HeaderValue {
    LAST.with_borrow_mut(|last| match last {
        Some((known, value)) if *known == seconds => value.clone(),
        _ => {
            let text = fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds));
            let value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
            *last = Some((seconds, value.clone()));
            value
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_follows_the_clock_in_both_directions() {
        for (seconds, expected) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777 + 86_400, "Mon, 07 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (LATEST, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(value(seconds), expected);
        }
    }
}
