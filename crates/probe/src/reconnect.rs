//! How long a cached connection is trusted before it is replaced.

use std::time::Duration;

use crate::config::Fields;

/// How long a cached connection is trusted, and how long it stays open without being used.
///
/// A connection that was opened earlier may work although the server refuses every new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect(Option<Duration>);

impl Reconnect {
    /// For connections that are trusted until they are closed.
    pub const NEVER: Self = Self(None);

    /// Trusts a connection for this long.
    pub const fn after(duration: Duration) -> Self {
        Self(Some(duration))
    }

    /// Reads the key `reconnect`, and records an error in `fields` if its value is zero.
    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let Self(default) = Self::default();
        let duration = fields.with_default("reconnect", default.unwrap_or_default());
        if duration.is_zero() {
            fields.error("reconnect", "expected a duration of at least `1ms`");
            return None;
        }
        Some(Self(Some(duration)))
    }

    /// How long a connection that replaces a trusted one is trusted, or `None` for a connection that is trusted until it is closed.
    pub fn period(self) -> Option<Duration> {
        self.0
    }

    /// How long a connection that replaces none is trusted: a random time of at least half the period, so that connections that were opened together are not replaced together.
    pub fn first_period(self) -> Option<Duration> {
        self.0.map(|period| period.mul_f64(rand::random_range(0.5..=1.0)))
    }
}

/// 30 seconds.
impl Default for Reconnect {
    fn default() -> Self {
        Self::after(Duration::from_secs(30))
    }
}
