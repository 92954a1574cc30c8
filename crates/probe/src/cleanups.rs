//! Tasks that remove what checks made, which the process awaits before it exits.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of this process that remove something when they end.
///
/// A check that is cut off cannot remove anything itself, so a task that outlives it does.
#[derive(Clone, Debug, Default)]
pub struct Cleanups {
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Cleanups {
    /// Spawns a task that, before it ends, removes what it or a run made. It must end soon after [`ending`](Self::ending) completes.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Waits until the process ends.
    pub async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// Notifies all tasks that the process ends, and waits until they have ended or `limit` has passed.
    pub async fn finish(&self, limit: Duration) {
        self.ending.cancel();
        self.tasks.close();
        // A backend that does not respond must not hold up the end of the process.
        drop(timeout(limit, self.tasks.wait()).await);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn the_end_notifies_every_task_and_waits_for_it() {
        let (cleanups, removed) = (Cleanups::default(), Arc::new(AtomicBool::new(false)));
        cleanups.spawn({
            let (cleanups, removed) = (cleanups.clone(), removed.clone());
            async move {
                cleanups.ending().await;
                tokio::task::yield_now().await;
                removed.store(true, Ordering::Relaxed);
            }
        });
        cleanups.finish(Duration::from_secs(20)).await;
        assert!(removed.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_does_not_wait_longer_than_its_limit() {
        let cleanups = Cleanups::default();
        cleanups.spawn(pending::<()>());
        cleanups.finish(Duration::from_secs(2)).await;
    }
}
