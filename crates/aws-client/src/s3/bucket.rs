//! A bucket, and the order in which a check uses each kind of access.

use std::sync::Arc;

use aws_sdk_s3::Client;
use probe::{Cleanups, Failure, Steps};

use super::canary;
use super::pending_deletes::PendingDeletes;
use super::request_settings::RequestSettings;
use crate::AwsContext;

/// A bucket and the kinds of access that the application needs.
pub struct Bucket {
    pub(super) aws: AwsContext,
    pub(super) client: Client,
    pub(super) target: String,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) access: Vec<Access>,
    pub(super) read_source: ReadSource,
    pub(super) requests: RequestSettings,
    pub(super) pending_deletes: Arc<PendingDeletes>,
    pub(super) cleanups: Cleanups,
}

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    List,
    Read,
    Write,
    Delete,
}

/// The object that the check reads to verify read access.
pub(super) enum ReadSource {
    /// Read access is not needed.
    None,
    /// An object of the application, of which one byte is read.
    Object(String),
    /// The canary that was just written.
    Canary,
    /// An object that does not exist. With list access, S3 reports it as missing only if read access is granted, too.
    Absent,
}

impl Bucket {
    /// The target, as `host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Uses each kind of access once.
    pub async fn check(self: &Arc<Self>, steps: &Steps) -> Result<(), Failure> {
        if self.needs(Access::List) {
            self.list(steps).await?;
        }
        match &self.read_source {
            ReadSource::Object(key) => self.read_object(steps, key).await?,
            ReadSource::Absent => self.read_absent(steps).await?,
            ReadSource::Canary | ReadSource::None => {}
        }
        match (self.needs(Access::Write), self.needs(Access::Delete)) {
            (true, true) => self.write_and_delete(steps).await,
            (true, false) => {
                let key = canary::fixed_key(&self.prefix);
                self.write(steps, &key).await?;
                self.read_back(steps, &key).await
            }
            (false, true) => self.delete(steps, &canary::absent_key(&self.prefix)).await,
            (false, false) => Ok(()),
        }
    }

    async fn write_and_delete(self: &Arc<Self>, steps: &Steps) -> Result<(), Failure> {
        self.pending_deletes.delete_at_end(self, &self.cleanups);
        for key in self.pending_deletes.keys() {
            self.delete(steps, &key).await?;
            self.pending_deletes.remove(&key);
        }
        if self.needs(Access::List) && self.pending_deletes.is_sweep_due() {
            self.sweep(steps).await;
        }
        let key = canary::unique_key(&self.prefix);
        let _in_flight = self.pending_deletes.add(&key);
        let is_sent_once = self.write(steps, &key).await?;
        let read = self.read_back(steps, &key).await;
        let deleted = self.delete(steps, &key).await;
        // The first of two requests may be processed after the deletion, so the key stays pending.
        if is_sent_once && deleted.is_ok() {
            self.pending_deletes.remove(&key);
        }
        read.and(deleted)
    }

    /// Whether the check puts an object into the bucket.
    pub fn writes(&self) -> bool {
        self.needs(Access::Write)
    }

    pub(super) fn needs(&self, access: Access) -> bool {
        self.access.contains(&access)
    }
}
