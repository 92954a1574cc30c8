//! Reads files that operators name, from file systems that may not respond.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::sync::oneshot;

use crate::Cause;

/// The size limit of a file.
const MAX_FILE: u64 = 1024 * 1024;

const PANICKED: &str = "reading it panicked";

/// Returns the text of a regular file of at most 1 MiB, or a cause that does not name it.
///
/// The file is read on a dedicated thread. A call to a mount that does not respond cannot be cancelled, so its thread stays blocked.
/// No second thread is started for the same path, so that the caller may set a deadline and try again.
pub async fn read_file(path: &Path) -> Result<String, Cause> {
    read(path, 0).await
}

/// Returns the text of a file as [`read_file`] does, unless the group or others may access it.
pub async fn read_private_file(path: &Path) -> Result<String, Cause> {
    read(path, 0o077).await
}

/// Returns the text of a file that has none of the `forbidden` permissions.
async fn read(path: &Path, forbidden: u32) -> Result<String, Cause> {
    let (sender, text) = oneshot::channel();
    let file = path.to_owned();
    start(path, move || read_text(&file, forbidden), move |text| drop(sender.send(text)))?;
    text.await.unwrap_or_else(|_| Err(Cause::msg(PANICKED)))
}

/// Runs `work`, which reads `path`, on a dedicated thread, and returns its result or the reason why there is none within `limit`.
///
/// The thread is that of [`read_file`]: there is only one for a path.
pub fn read_within<T: Send + 'static>(
    limit: Duration,
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Cause> {
    let (sender, receiver) = mpsc::channel();
    start(path, work, move |result| drop(sender.send(result)))?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Cause::msg(format!("no answer within {} s", limit.as_secs())),
        RecvTimeoutError::Disconnected => Cause::msg(PANICKED),
    })
}

/// Starts the thread of `path`, which passes the result of `work` to `send`.
fn start<T: 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
    send: impl FnOnce(T) + Send + 'static,
) -> Result<(), Cause> {
    let busy = Busy::mark(path)
        .ok_or_else(|| Cause::msg("an earlier attempt to read it has not ended yet"))?;
    let read = move || {
        let result = work();
        // Before the result is sent: its receiver may read the same path again.
        drop(busy);
        send(result);
    };
    let thread = std::thread::Builder::new().name("read-file".to_owned());
    thread.spawn(read).map(drop).map_err(|_| Cause::msg("cannot start a thread"))
}

/// Returns the text of a regular file of at most 1 MiB, or a cause that does not name it.
///
/// Blocks for as long as the file system does not respond.
pub fn read_bounded(path: &Path) -> Result<String, Cause> {
    read_text(path, 0)
}

fn read_text(path: &Path, forbidden: u32) -> Result<String, Cause> {
    let cause = |error: io::Error| Cause::from(error);
    // Otherwise opening a pipe would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(cause)?;
    let metadata = file.metadata().map_err(cause)?;
    if !metadata.is_file() {
        return Err(Cause::msg("it is not a regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & forbidden != 0 {
        let allowed = mode & !forbidden;
        return Err(Cause::msg(format!(
            "others may access it: its permissions are {mode:04o}, expected {allowed:04o}"
        )));
    }
    // A text that grows would leave copies of its beginning, which may be a secret, in memory.
    let capacity = metadata.len().min(MAX_FILE) + 1;
    let mut text = String::with_capacity(usize::try_from(capacity).unwrap_or_default());
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(cause)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Cause::msg(format!("it is larger than {MAX_FILE} bytes")));
    }
    Ok(text)
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
        let limit = Duration::from_secs(20);
        let text = |result: Result<i32, Cause>| result.map_err(|cause| cause.text().to_owned());
        let first = read_within(Duration::ZERO, path, read).map(|()| 0);
        assert_eq!(text(first), Err("no answer within 0 s".to_owned()));
        let second = read_within(limit, path, || panic!("a second thread"));
        assert_eq!(text(second), Err("an earlier attempt to read it has not ended yet".to_owned()));
        assert_eq!(text(read_within(limit, Path::new("/other"), || 7)), Ok(7));
        drop(release);
        assert!(wait.recv().is_err(), "it has ended");
    }
}
