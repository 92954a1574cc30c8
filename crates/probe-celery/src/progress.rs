//! Notices that the messages of a queue wait without becoming fewer.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Failure, count};

/// The step of the failure.
const STEP: &str = "stalled";

/// The numbers of waiting messages in the runs of one check.
pub(crate) struct Progress {
    limit: Option<Duration>,
    /// Since when the number has not fallen.
    period: Mutex<Option<Period>>,
}

#[derive(Clone, Copy)]
struct Period {
    began: Instant,
    observed: Instant,
    messages: u64,
}

impl Progress {
    /// The number must fall within `limit`, if there is one.
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self { limit, period: Mutex::default() }
    }

    /// Records the number of waiting messages; returns a failure if it has not fallen for too long.
    pub(crate) fn observe(&self, messages: u64) -> Result<(), Failure> {
        match self.limit {
            Some(limit) => self.observe_at(Instant::now(), messages, limit),
            None => Ok(()),
        }
    }

    fn observe_at(&self, now: Instant, messages: u64, limit: Duration) -> Result<(), Failure> {
        let mut period = self.period.lock();
        let began = match *period {
            // Between two distant observations, the number may have fallen and risen again.
            Some(period)
                if messages > 0
                    && messages >= period.messages
                    && now - period.observed <= limit / 2 =>
            {
                period.began
            }
            _ => now,
        };
        *period = Some(Period { began, observed: now, messages });
        let age = now - began;
        if age < limit {
            return Ok(());
        }
        let (waiting, age) = (count(messages, "message", "messages"), age.as_secs());
        let reason = format!("{waiting} waiting, and the number has not fallen for {age}s");
        Err(Failure::msg(STEP, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// The failure after observations at these seconds, if there is one.
    fn last(observations: &[(u64, u64)]) -> Option<String> {
        let (progress, start) = (Progress::new(Some(LIMIT)), Instant::now());
        let results = observations.iter().map(|(second, messages)| {
            progress.observe_at(start + Duration::from_secs(*second), *messages, LIMIT)
        });
        results.last()?.err().map(|failure| failure.render(""))
    }

    #[test]
    fn a_number_that_does_not_fall_is_a_failure_after_the_limit() {
        let failure = "stalled: 17 messages waiting, and the number has not fallen for 30s";
        assert_eq!(last(&[(0, 17), (10, 17), (20, 17), (30, 17)]).as_deref(), Some(failure));
        assert_eq!(last(&[(0, 3), (10, 9), (20, 12), (30, 17)]).as_deref(), Some(failure));
        assert_eq!(last(&[(0, 17), (10, 17), (20, 17), (29, 17)]), None);
    }

    #[test]
    fn a_number_that_falls_or_was_not_observed_is_no_failure() {
        assert_eq!(last(&[(0, 17), (10, 16), (20, 17), (30, 17)]), None);
        assert_eq!(last(&[(0, 0), (10, 0), (20, 0), (30, 0)]), None);
        assert_eq!(last(&[(0, 17), (10, 17), (30, 17)]), None);
    }
}
