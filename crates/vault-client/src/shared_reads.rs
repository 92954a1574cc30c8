//! Shares the reads of a secret between the namespaces that refer to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use probe::{Failure, Secret};
use tokio::sync::Mutex as AsyncMutex;

/// The values of a secret, which all of its readers share.
pub type Values = Arc<BTreeMap<String, Secret>>;

/// The last read of each path.
#[derive(Debug, Default)]
pub(crate) struct SharedReads(Mutex<HashMap<String, Arc<AsyncMutex<Option<LastRead>>>>>);

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
        let last = self.0.lock().entry(path.to_owned()).or_default().clone();
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
