//! Which calls AWS asks clients to repeat, and after which pause.

use std::time::Duration;

use crate::error_codes::THROTTLED;

/// The number of times a call is made, as in the SDK's default.
pub(crate) const MAX_ATTEMPTS: u32 = 3;

/// An error that may be gone when the call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryableError {
    /// The service, or a proxy before it, has failed.
    Server,
    /// The request rate is too high.
    Throttled,
}

impl RetryableError {
    /// The kind of the error with this HTTP status and AWS's error code.
    pub(crate) fn from_response(status: u16, code: &str) -> Option<Self> {
        if THROTTLED.contains(&code) {
            return Some(Self::Throttled);
        }
        matches!(status, 500 | 502 | 503 | 504).then_some(Self::Server)
    }

    /// The random pause after this many attempts, of at most 50 ms (1 s if throttled), doubled with each attempt, as in the SDK.
    pub(crate) fn pause(self, attempts: u32) -> Duration {
        let longest = match self {
            Self::Server => Duration::from_millis(50),
            Self::Throttled => Duration::from_secs(1),
        };
        longest.mul_f64(rand::random()) * 2_u32.saturating_pow(attempts.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_server_and_throttling_are_retryable() {
        use RetryableError::{Server, Throttled};
        for (status, code, expected) in [
            (500, "InternalError", Some(Server)),
            (503, "", Some(Server)),
            (503, "SlowDown", Some(Throttled)),
            (400, "ThrottlingException", Some(Throttled)),
            (501, "NotImplemented", None),
            (403, "AccessDenied", None),
            (200, "", None),
        ] {
            assert_eq!(RetryableError::from_response(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        for _ in 0..100 {
            assert!(RetryableError::Server.pause(1) <= Duration::from_millis(50));
            assert!(RetryableError::Throttled.pause(2) <= Duration::from_secs(2));
        }
    }
}
