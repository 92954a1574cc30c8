//! The canaries that are still to be deleted, and when to sweep for those of other processes.

use std::collections::BTreeSet;
use std::time::Instant;

use parking_lot::Mutex;

use super::canary::STALE_AFTER;

/// The canaries that earlier runs may have left in the bucket.
#[derive(Default)]
pub(super) struct PendingDeletes(Mutex<State>);

#[derive(Default)]
struct State {
    /// The keys that may have been written and are not known to be deleted.
    keys: BTreeSet<String>,
    sweep: Sweep,
}

/// When to list the bucket for stale canaries with unknown keys.
#[derive(Default)]
enum Sweep {
    /// In the first run, for canaries of an earlier process.
    #[default]
    First,
    /// Later, for canaries that were not stale yet or that were written after their deletion.
    At(Instant),
    Done,
}

impl PendingDeletes {
    /// Adds a key that is about to be written.
    pub(super) fn add(&self, key: &str) {
        self.0.lock().keys.insert(key.to_owned());
    }

    /// Removes a key that is known not to exist.
    pub(super) fn remove(&self, key: &str) {
        self.0.lock().keys.remove(key);
    }

    /// Returns the keys to delete.
    ///
    /// If there are any, an earlier run was cancelled. Its write may still arrive after the deletion, so a later sweep is scheduled.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut state = self.0.lock();
        if !state.keys.is_empty() {
            state.sweep = Sweep::At(Instant::now() + STALE_AFTER);
        }
        state.keys.iter().cloned().collect()
    }

    /// Whether a sweep is due. If so, the caller must sweep, since the next call returns `false`.
    pub(super) fn is_sweep_due(&self) -> bool {
        let mut state = self.0.lock();
        state.sweep = match state.sweep {
            Sweep::First => Sweep::At(Instant::now() + STALE_AFTER),
            Sweep::At(time) if time <= Instant::now() => Sweep::Done,
            Sweep::At(_) | Sweep::Done => return false,
        };
        true
    }

    /// Schedules a sweep for the next run, since the last one has not listed all keys.
    pub(super) fn schedule_sweep(&self) {
        self.0.lock().sweep = Sweep::At(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_two_runs_sweeps() {
        let pending = PendingDeletes::default();
        assert!(pending.is_sweep_due());
        assert!(!pending.is_sweep_due());
    }
}
