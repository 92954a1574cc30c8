//! What is counted of the runs of a check, for its metrics.

use std::time::{Duration, SystemTime};

use super::run::{Outcome, RunResult};

/// The upper bounds of the histogram of durations, in seconds.
const BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, f64::INFINITY];

/// The counts of a check since it was configured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Statistics {
    runs: [u64; RunResult::ALL.len()],
    /// How often it began to fail or to work again.
    pub(crate) status_changes: u64,
    pub(crate) durations: Durations,
    pub(crate) last_completed: Option<SystemTime>,
}

/// A histogram of durations.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Durations {
    /// The durations up to each of [`BOUNDS`] and above the one before.
    counts: [u64; BOUNDS.len()],
    sum: Duration,
}

impl Statistics {
    /// Counts an outcome and the change since the `previous` one. The run of another replica is counted there.
    ///
    /// A run that blocks its thread has two outcomes: its timeout, and then this defect, which has no duration of its own.
    pub(super) fn add(&mut self, outcome: &Outcome, previous: Option<&Outcome>) {
        let is_own = outcome.seen_by.is_none();
        self.runs[outcome.result as usize] += u64::from(is_own);
        if previous.is_some_and(|previous| previous.failure.is_some() != outcome.failure.is_some())
        {
            self.status_changes += 1;
        }
        if !outcome.blocks && is_own {
            self.durations.add(outcome.response_time);
        }
        self.last_completed = SystemTime::now().checked_sub(outcome.completed.elapsed());
    }

    pub(crate) fn runs(&self, result: RunResult) -> u64 {
        self.runs[result as usize]
    }
}

impl Durations {
    fn add(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.counts[bucket] += 1;
        }
        self.sum += duration;
    }

    /// The upper bounds, each with the number of durations up to it and above the one before.
    pub(crate) fn buckets(&self) -> [(f64, u64); BOUNDS.len()] {
        std::array::from_fn(|bucket| (BOUNDS[bucket], self.counts[bucket]))
    }

    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum in seconds.
    pub(crate) fn sum(&self) -> f64 {
        self.sum.as_secs_f64()
    }
}
