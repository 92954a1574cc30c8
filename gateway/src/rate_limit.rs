//! Limits the number of events in each second.

use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

/// The events of the current second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RateLimit {
    began: Instant,
    count: u32,
}

impl RateLimit {
    /// A limit with a first second that begins at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self { began: now, count: 0 }
    }

    /// Counts an event at `now`. Returns whether at most `limit` were counted in this second.
    pub(crate) fn allow(&mut self, limit: u32, now: Instant) -> bool {
        if now.duration_since(self.began) >= SECOND {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        self.count <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_beyond_the_limit_of_a_second_are_not_allowed() {
        let begin = Instant::now();
        let mut rate = RateLimit::new(begin);
        for second in 0..3 {
            let now = begin + SECOND * second;
            let allowed = (0..100).filter(|_| rate.allow(10, now)).count();
            assert_eq!(allowed, 10, "second {second}");
        }
    }
}
