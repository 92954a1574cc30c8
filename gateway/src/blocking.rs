//! Runs file I/O outside of the runtime's workers, which a slow mount must not block.

use std::future::pending;
use std::panic::resume_unwind;
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};

/// Runs `work` on a thread for blocking work, and returns its result. A panic is passed on to the caller.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(value) => value,
        Err(Ok(panic)) => resume_unwind(panic),
        // The runtime is shutting down, and will not poll this task again.
        Err(Err(_)) => pending().await,
    }
}

/// How long reading a namespace's files may take.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);
