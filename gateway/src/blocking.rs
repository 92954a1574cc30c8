//! Runs file I/O outside of the runtime's workers, which a slow mount must not block.

use std::collections::BTreeSet;
use std::future::pending;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
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

/// Runs `work`, which reads `path`, on a dedicated thread, and returns its result or the reason why there is none.
///
/// A call to a mount that does not respond cannot be cancelled, so its thread stays blocked.
/// No second thread is started for the same path.
pub(crate) fn read_within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let busy = Busy::mark(path).ok_or("an earlier attempt to read it has not ended yet")?;
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let result = work();
        drop(busy);
        drop(sender.send(result));
    };
    let started = thread::Builder::new().name("read-files".to_owned()).spawn(read);
    started.map_err(|_| "cannot start a thread")?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => format!("no answer within {} s", limit.as_secs()),
        RecvTimeoutError::Disconnected => "reading it panicked".to_owned(),
    })
}

static BUSY: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Marks a path as being read, until it is dropped.
struct Busy(PathBuf);

impl Busy {
    fn mark(path: &Path) -> Option<Self> {
        BUSY.lock().insert(path.to_owned()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        BUSY.lock().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_that_hangs_ends_at_its_deadline_and_has_only_one_thread() {
        let path = Path::new("/hangs");
        let (release, hangs) = mpsc::channel::<()>();
        let (ended, wait) = mpsc::channel::<()>();
        let read = move || {
            hangs.recv().ok();
            drop(ended);
        };
        assert_eq!(read_within(Duration::ZERO, path, read), Err("no answer within 0 s".to_owned()));
        let second = read_within(READ_TIMEOUT, path, || panic!("a second thread"));
        assert_eq!(second, Err("an earlier attempt to read it has not ended yet".to_owned()));
        assert_eq!(read_within(READ_TIMEOUT, Path::new("/other"), || 7), Ok(7));
        drop(release);
        assert!(wait.recv().is_err(), "it has ended");
    }
}
