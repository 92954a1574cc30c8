//! Limits how many checks run at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many checks may run at the same time in this process.
///
/// A run may occupy a thread of tokio's blocking pool, which the reading of files uses as well, and which has 512.
const MAX_CONCURRENT_RUNS: usize = 256;

/// The limit on concurrent runs, which all runners of a process share.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    permits: Semaphore,
    waiting: AtomicUsize,
}

impl Default for ConcurrencyLimit {
    fn default() -> Self {
        Self::new(MAX_CONCURRENT_RUNS)
    }
}

impl ConcurrencyLimit {
    pub(super) fn new(max: usize) -> Self {
        let (permits, waiting) = (Semaphore::new(max), AtomicUsize::new(0));
        Self(Arc::new(Inner { max, permits, waiting }))
    }

    /// Returns a permit to run if no other run has to end first.
    pub(super) fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.0.permits.try_acquire().ok()
    }

    /// Waits for a permit to run.
    pub(super) async fn acquire(&self) -> Option<SemaphorePermit<'_>> {
        let _waiting = Waiting::begin(&self.0.waiting);
        self.0.permits.acquire().await.ok()
    }

    /// How many checks run now.
    pub(crate) fn running(&self) -> usize {
        self.0.max.saturating_sub(self.0.permits.available_permits())
    }

    /// How many checks wait for a permit now.
    pub(crate) fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

/// Counts one that waits, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
