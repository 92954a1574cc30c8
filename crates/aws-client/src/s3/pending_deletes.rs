//! The canaries still to be deleted, and when to sweep for those of other processes.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Cleanups, Steps};
use tokio::sync::oneshot;

use super::bucket::Bucket;
use super::canary::STALE_AFTER;

/// The interval at which the end of the runs in flight is polled when the process ends.
const END_INTERVAL: Duration = Duration::from_millis(10);

/// The canaries that earlier runs may have left in the bucket.
///
/// Checks of the same bucket share it, so that those of a new configuration, or with new credentials, delete what earlier ones left.
#[derive(Default)]
pub(super) struct PendingDeletes(Mutex<State>);

#[derive(Default)]
struct State {
    /// The keys that may have been written and are not known to be deleted, by runs that have ended.
    keys: BTreeSet<String>,
    /// The keys of the runs in flight, which delete them themselves.
    in_flight: BTreeSet<String>,
    sweep: Sweep,
    /// The latest bucket, which has the current credentials. It is set once a task waits for the end of the process.
    bucket: Option<Weak<Bucket>>,
    /// Ends that task when this is dropped.
    task: Option<oneshot::Sender<()>>,
}

/// A key of a run in flight. Unless it was removed, it is pending once this is dropped.
pub(super) struct InFlight<'a> {
    pending: &'a PendingDeletes,
    key: &'a str,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut state = self.pending.0.lock();
        if let Some(key) = state.in_flight.take(self.key) {
            state.keys.insert(key);
        }
    }
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
    /// Adds a key that a run is about to write. The run is in flight until the returned value is dropped.
    pub(super) fn add<'a>(&'a self, key: &'a str) -> InFlight<'a> {
        self.0.lock().in_flight.insert(key.to_owned());
        InFlight { pending: self, key }
    }

    /// Deletes at the end of the process what runs have left by then, with the credentials of the latest `bucket`.
    pub(super) fn delete_at_end(self: &Arc<Self>, bucket: &Arc<Bucket>, cleanups: &Cleanups) {
        let mut state = self.0.lock();
        if state.bucket.replace(Arc::downgrade(bucket)).is_some() {
            return;
        }
        let (task, dropped) = oneshot::channel();
        state.task = Some(task);
        let (pending, tasks) = (Arc::downgrade(self), cleanups.clone());
        cleanups.spawn(async move {
            tokio::select! {
                () = tasks.ending() => {}
                _ = dropped => return,
            }
            if let Some(pending) = pending.upgrade() {
                pending.delete_all().await;
            }
        });
    }

    /// Deletes what runs have left, once all of them have ended. After an error, the sweep of a later process deletes the rest.
    async fn delete_all(&self) {
        while !self.0.lock().in_flight.is_empty() {
            tokio::time::sleep(END_INTERVAL).await;
        }
        let bucket = self.0.lock().bucket.as_ref().and_then(Weak::upgrade);
        let Some(bucket) = bucket else { return };
        for key in self.keys() {
            if bucket.delete(&Steps::new(), &key).await.is_err() {
                return;
            }
            self.remove(&key);
        }
    }

    /// Removes a key that is known not to exist.
    pub(super) fn remove(&self, key: &str) {
        let mut state = self.0.lock();
        state.keys.remove(key);
        state.in_flight.remove(key);
    }

    /// Returns the keys to delete.
    ///
    /// If there are any, an earlier run was cancelled, failed or wrote twice. Its write may still arrive after the deletion, so a later sweep is scheduled.
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
    fn a_key_is_pending_only_after_its_run_has_ended_without_deleting_it() {
        let pending = PendingDeletes::default();
        let (cancelled, complete) = (pending.add("cancelled"), pending.add("complete"));
        assert_eq!(pending.keys(), [""; 0]);
        drop(cancelled);
        pending.remove("complete");
        drop(complete);
        assert_eq!(pending.keys(), ["cancelled"]);
        pending.remove("cancelled");
        assert_eq!(pending.keys(), [""; 0]);
    }

    #[test]
    fn only_the_first_of_two_runs_sweeps() {
        let pending = PendingDeletes::default();
        assert!(pending.is_sweep_due());
        assert!(!pending.is_sweep_due());
    }
}
