//! Reads files that operators name, from file systems that may not respond.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::fs::OFlags;
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::Cause;

/// The size limit of a file.
const MAX_FILE: u64 = 1024 * 1024;

/// How long a read may take before others of the same file fail instead of sharing its result, which may be outdated when it ends.
const HANGS_AFTER: Duration = Duration::from_secs(1);

const HANGS: &str = "an earlier attempt to read it has not ended yet";

const PANICKED: &str = "reading it panicked";

/// Returns the text of a regular file of at most 1 MiB, or a cause that does not name it.
///
/// The file is read on a dedicated thread, and concurrent callers share the read. A call to a mount that does not respond cannot be cancelled, so its thread stays blocked.
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
    let file = path.to_owned();
    share(path, move || read_content(&file)).await?.into_text(forbidden)
}

/// Returns the result of `work`, which reads `path`, or that of a read of the same path that began less than [`HANGS_AFTER`] ago.
async fn share(
    path: &Path,
    work: impl FnOnce() -> Result<Content, Cause> + Send + 'static,
) -> Result<Content, Cause> {
    let mut result = begin_or_join(path, work)?;
    let content = result.wait_for(Option::is_some).await;
    content.ok().and_then(|content| content.clone()).unwrap_or_else(|| Err(Cause::msg(PANICKED)))
}

/// The result of a read, once it has ended.
type SharedContent = watch::Receiver<Option<Result<Content, Cause>>>;

fn begin_or_join(
    path: &Path,
    work: impl FnOnce() -> Result<Content, Cause> + Send + 'static,
) -> Result<SharedContent, Cause> {
    let mut reads = READS.lock();
    if let Some(Read { begun, content: Some(content) }) = reads.get(path)
        && begun.elapsed() < HANGS_AFTER
    {
        return Ok(content.clone());
    }
    let (sender, content) = watch::channel(None);
    let send = move |result| drop(sender.send(Some(result)));
    start(&mut reads, path, Some(content.clone()), work, send)?;
    Ok(content)
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
    start(&mut READS.lock(), path, None, work, move |result| drop(sender.send(result)))?;
    receiver.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => Cause::msg(format!("no answer within {} s", limit.as_secs())),
        RecvTimeoutError::Disconnected => Cause::msg(PANICKED),
    })
}

/// Starts the thread of `path`, which passes the result of `work` to `send`.
fn start<T: 'static>(
    reads: &mut BTreeMap<PathBuf, Read>,
    path: &Path,
    content: Option<SharedContent>,
    work: impl FnOnce() -> T + Send + 'static,
    send: impl FnOnce(T) + Send + 'static,
) -> Result<(), Cause> {
    if reads.contains_key(path) {
        return Err(Cause::msg(HANGS));
    }
    let file = path.to_owned();
    let read = move || {
        let busy = Busy(file);
        let result = work();
        // Before the result is sent: its receiver may read the same path again.
        drop(busy);
        send(result);
    };
    let thread = std::thread::Builder::new().name("read-file".to_owned());
    thread.spawn(read).map_err(|_| Cause::msg("cannot start a thread"))?;
    reads.insert(path.to_owned(), Read { begun: Instant::now(), content });
    Ok(())
}

/// Returns the text of a regular file of at most 1 MiB, or a cause that does not name it.
///
/// Blocks for as long as the file system does not respond.
pub fn read_bounded(path: &Path) -> Result<String, Cause> {
    read_content(path)?.into_text(0)
}

/// The text of a file, and its permissions.
#[derive(Clone)]
struct Content {
    text: Zeroizing<String>,
    mode: u32,
}

impl Content {
    /// The text, unless the file has one of the `forbidden` permissions.
    fn into_text(mut self, forbidden: u32) -> Result<String, Cause> {
        let mode = self.mode;
        if mode & forbidden == 0 {
            return Ok(std::mem::take(&mut self.text));
        }
        let allowed = mode & !forbidden;
        Err(Cause::msg(format!(
            "others may access it: its permissions are {mode:04o}, expected {allowed:04o}"
        )))
    }
}

fn read_content(path: &Path) -> Result<Content, Cause> {
    let cause = |error: io::Error| Cause::from(error);
    // Otherwise opening a pipe would wait for a writer.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path).map_err(cause)?;
    let metadata = file.metadata().map_err(cause)?;
    if !metadata.is_file() {
        return Err(Cause::msg("it is not a regular file"));
    }
    let mode = metadata.permissions().mode() & 0o777;
    // A text that grows would leave copies of its beginning, which may be a secret, in memory.
    let capacity = metadata.len().min(MAX_FILE) + 1;
    let mut text =
        Zeroizing::new(String::with_capacity(usize::try_from(capacity).unwrap_or_default()));
    file.take(MAX_FILE + 1).read_to_string(&mut text).map_err(cause)?;
    if text.len() as u64 > MAX_FILE {
        return Err(Cause::msg(format!("it is larger than {MAX_FILE} bytes")));
    }
    Ok(Content { text, mode })
}

/// The reads that have not ended.
static READS: Mutex<BTreeMap<PathBuf, Read>> = Mutex::new(BTreeMap::new());

struct Read {
    begun: Instant,
    /// Absent if the result is not the text of a file.
    content: Option<SharedContent>,
}

/// The read of a path, which has ended when this is dropped.
struct Busy(PathBuf);

impl Drop for Busy {
    fn drop(&mut self) {
        READS.lock().remove(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    fn text<T>(result: Result<T, Cause>) -> Result<T, String> {
        result.map_err(|cause| cause.text().to_owned())
    }

    fn content(text: &str) -> Content {
        Content { text: Zeroizing::new(text.to_owned()), mode: 0o600 }
    }

    async fn second_thread(path: &Path) -> Result<String, Cause> {
        share(path, || panic!("a second thread")).await?.into_text(0)
    }

    #[test]
    fn a_read_that_hangs_ends_at_its_deadline_and_has_only_one_thread() {
        let path = Path::new("/hangs");
        let (release, hangs) = mpsc::channel::<()>();
        let (ended, wait) = mpsc::channel::<()>();
        let read = move || {
            hangs.recv().ok();
            drop(ended);
        };
        let first = read_within(Duration::ZERO, path, read).map(|()| 0);
        assert_eq!(text(first), Err("no answer within 0 s".to_owned()));
        let second = read_within(LIMIT, path, || panic!("a second thread"));
        assert_eq!(text(second), Err(HANGS.to_owned()));
        assert_eq!(text(read_within(LIMIT, Path::new("/other"), || 7)), Ok(7));
        drop(release);
        assert!(wait.recv().is_err(), "it has ended");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn concurrent_reads_of_one_file_succeed() {
        let path = std::env::temp_dir().join(format!("health-gateway-{}", std::process::id()));
        std::fs::write(&path, "text").expect("a file");
        let reads = (0..1000).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { read_file(&path).await })
        });
        let results = join_all(reads).await;
        std::fs::remove_file(&path).expect("removed");
        for result in results {
            assert_eq!(text(result.expect("no panic")), Ok("text".to_owned()));
        }
        assert!(!READS.lock().contains_key(&path));
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_hangs_has_one_thread_and_fails_later_readers_at_once() {
        let path = Path::new("/hangs/shared");
        let (release, hangs) = mpsc::channel::<()>();
        let read = move || {
            hangs.recv().ok();
            Ok(content("late"))
        };
        let first = share(path, read);
        let joined = second_thread(path);
        let abandoned =
            tokio::time::timeout(HANGS_AFTER / 2, async { tokio::join!(first, joined) });
        assert!(abandoned.await.is_err(), "the readers wait until their deadline");
        let mut patient = Box::pin(second_thread(path));
        assert!(futures_util::poll!(&mut patient).is_pending());
        tokio::time::advance(HANGS_AFTER).await;
        assert_eq!(text(second_thread(path).await), Err(HANGS.to_owned()));
        let other = read_within(LIMIT, path, || panic!("a second thread"));
        assert_eq!(text(other), Err(HANGS.to_owned()));
        drop(release);
        assert_eq!(text(patient.await), Ok("late".to_owned()));
        let again = share(path, || Ok(content("new"))).await;
        assert_eq!(text(again.and_then(|content| content.into_text(0))), Ok("new".to_owned()));
        assert!(!READS.lock().contains_key(path));
    }

    #[tokio::test]
    async fn a_read_that_panics_ends_for_all_readers() {
        let path = Path::new("/panics");
        let (release, hangs) = mpsc::channel::<()>();
        let first = share(path, move || {
            hangs.recv().ok();
            panic!("while it reads")
        });
        let mut first = Box::pin(first);
        assert!(futures_util::poll!(&mut first).is_pending());
        let mut joined = Box::pin(second_thread(path));
        assert!(futures_util::poll!(&mut joined).is_pending());
        drop(release);
        assert_eq!(text(first.await.map(drop)), Err(PANICKED.to_owned()));
        assert_eq!(text(joined.await), Err(PANICKED.to_owned()));
        assert_eq!(text(share(path, || Ok(content("new"))).await.map(drop)), Ok(()));
    }

    #[test]
    fn the_permissions_are_those_that_the_reader_allows() {
        let content = |mode| Content { text: Zeroizing::new("text".to_owned()), mode };
        assert_eq!(text(content(0o600).into_text(0o077)), Ok("text".to_owned()));
        assert_eq!(text(content(0o644).into_text(0)), Ok("text".to_owned()));
        let expected = "others may access it: its permissions are 0644, expected 0600";
        assert_eq!(text(content(0o644).into_text(0o077)), Err(expected.to_owned()));
    }
}
