//! A point in time for the history: wall time for display, monotonic time for ages.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

/// The zero of the monotonic seconds.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A point in time, in seconds of both clocks. Setting the wall clock changes no age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// Since [`START`].
    monotonic: u32,
    /// Since 1970.
    wall: u32,
}

impl Moment {
    /// The current time.
    pub(crate) fn now() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { monotonic: seconds(START.elapsed()), wall: seconds(wall) }
    }

    /// A time in tests, in seconds since the start of the process. Its wall clock began in 1970.
    #[cfg(test)]
    pub(crate) fn at(second: u32) -> Self {
        Self { monotonic: second, wall: second }
    }

    /// The monotonic seconds.
    pub(super) fn seconds(self) -> u32 {
        self.monotonic
    }

    /// The time between an earlier moment and this one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.monotonic.saturating_sub(earlier.monotonic).into())
    }

    /// What the wall clock showed.
    pub(crate) fn wall(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.wall.into())
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
