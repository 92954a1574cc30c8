//! Shares the reads of a secret between the namespaces that refer to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Failure, Secret};
use tokio::sync::Mutex as AsyncMutex;

/// The values of a secret, which all of its readers share.
pub type Values = Arc<BTreeMap<String, Secret>>;

/// The time without a read after which a secret counts as no longer referenced. The gateway reads its secrets every 30 seconds.
pub(crate) const FORGET_AFTER: Duration = Duration::from_secs(90);

/// The last read of each path.
#[derive(Debug, Default)]
pub(crate) struct SharedReads(Mutex<Entries>);

type Entry = Arc<AsyncMutex<Option<LastRead>>>;

#[derive(Debug, Default)]
struct Entries {
    by_path: HashMap<String, Entry>,
    swept: Option<Instant>,
}

/// It does not keep the values, so that they are wiped when no namespace uses them.
#[derive(Debug)]
struct LastRead {
    began: Instant,
    result: Result<Weak<BTreeMap<String, Secret>>, Failure>,
}

impl SharedReads {
    /// Returns the result of the last read of `path` if that began at `since` or later, or else that of `read`. One read of a path is in flight at a time.
    pub(crate) async fn get(
        &self,
        path: &str,
        since: Instant,
        read: impl Future<Output = Result<BTreeMap<String, Secret>, Failure>>,
    ) -> Result<Values, Failure> {
        let last = self.0.lock().entry(path, Instant::now());
        let mut last = last.lock().await;
        let recent = last.as_ref().filter(|last| last.began >= since);
        match recent.map(|last| last.result.as_ref().map(Weak::upgrade)) {
            Some(Ok(Some(values))) => return Ok(values),
            Some(Err(failure)) => return Err(failure.clone()),
            // Its readers have dropped the values.
            Some(Ok(None)) | None => {}
        }
        let began = Instant::now();
        let result = read.await.map(Arc::new);
        let kept = result.as_ref().map(Arc::downgrade).map_err(Clone::clone);
        *last = Some(LastRead { began, result: kept });
        result
    }
}

impl Entries {
    /// The entry of `path`. Those that were not read for a while are removed first, now and then.
    fn entry(&mut self, path: &str, now: Instant) -> Entry {
        let is_old = |since: Instant| now.duration_since(since) >= FORGET_AFTER;
        if self.swept.is_none_or(is_old) {
            self.swept = Some(now);
            self.by_path.retain(|_, entry| {
                let is_kept =
                    |last: &Option<LastRead>| last.as_ref().is_some_and(|last| !is_old(last.began));
                // A reader waits for it, or it is locked, or it was read a short time ago.
                Arc::strong_count(entry) > 1 || entry.try_lock().is_ok_and(|last| is_kept(&last))
            });
        }
        self.by_path.entry(path.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test]
    async fn paths_that_are_not_read_any_more_are_forgotten() {
        let reads = Arc::new(SharedReads::default());
        for number in 0..1000 {
            let read = async { Ok(BTreeMap::new()) };
            reads.get(&format!("secret/{number}"), Instant::now(), read).await.expect("values");
        }
        let begun = Arc::new(tokio::sync::Notify::new());
        let (reader, begins) = (reads.clone(), begun.clone());
        let waiting = tokio::spawn(async move {
            let read = async {
                begins.notify_one();
                pending().await
            };
            reader.get("secret/7", Instant::now() + FORGET_AFTER, read).await
        });
        begun.notified().await;
        let mut entries = reads.0.lock();
        assert_eq!(entries.by_path.len(), 1000);
        entries.entry("secret/new", Instant::now() + FORGET_AFTER);
        let left: Vec<_> = entries.by_path.keys().collect();
        assert_eq!(left.len(), 2, "a read is in flight: {left:?}");
        drop(entries);
        waiting.abort();
    }
}
