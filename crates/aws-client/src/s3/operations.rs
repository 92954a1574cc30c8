//! The S3 operations of a check, and what their errors mean.

use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_s3::operation::delete_object::builders::DeleteObjectFluentBuilder;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::operation::list_objects_v2::builders::ListObjectsV2FluentBuilder;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use probe::{Failure, Steps};

use super::bucket::{Bucket, ReadSource};
use super::canary;
use crate::CallError;
use crate::call_context::CallContext;

/// How many keys one sweep lists.
const SWEEP_LIMIT: i32 = 20;

/// Sets the parameters that all requests to the bucket have. The SDK's request types have no trait in common.
macro_rules! with_request_settings {
    ($request:expr, $bucket:expr) => {
        $request
            .bucket(&$bucket.name)
            .set_request_payer($bucket.requests.request_payer.clone())
            .set_expected_bucket_owner($bucket.requests.expected_bucket_owner.clone())
    };
}

impl Bucket {
    pub(super) async fn list(&self, steps: &Steps) -> Result<(), Failure> {
        let request = || {
            let request = self.list_objects_v2().max_keys(1);
            request.set_prefix(Some(self.prefix.clone()).filter(|prefix| !prefix.is_empty())).send()
        };
        let result = self.aws.call(steps, "list", &self.permission("s3:ListBucket"), request).await;
        result.map(drop).map_err(|error| self.failure("list", error))
    }

    pub(super) async fn read_object(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        let request = || self.get_object().key(key).range("bytes=0-0").send();
        let permission = self.permission("s3:GetObject");
        match self.aws.call(steps, "read", &permission, request).await {
            Ok(_) => Ok(()),
            // An empty object has no first byte.
            Err(error) if error.code() == "InvalidRange" => Ok(()),
            Err(error) if error.code() == "NoSuchKey" => Err(Failure::msg(
                "read",
                format!("there is no object `{key}` in the bucket `{}`", self.name),
            )),
            Err(error) => Err(self.failure("read", error)),
        }
    }

    pub(super) async fn read_absent(&self, steps: &Steps) -> Result<(), Failure> {
        let key = canary::absent_key(&self.prefix);
        let request = || self.get_object().key(&key).send();
        let permission = self.permission("s3:GetObject");
        match self.aws.call(steps, "read", &permission, request).await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == "NoSuchKey" => Ok(()),
            Err(error) => Err(self.failure("read", error)),
        }
    }

    /// Writes a canary, and returns whether the request was sent once.
    pub(super) async fn write(&self, steps: &Steps, key: &str) -> Result<bool, Failure> {
        let sent = AtomicUsize::new(0);
        let request = || async {
            let body = ByteStream::from_static(canary::CONTENT);
            let request = self.put_object().key(key).body(body);
            let result = request
                .content_type("text/plain; charset=utf-8")
                .set_server_side_encryption(self.requests.server_side_encryption.clone())
                .set_ssekms_key_id(self.requests.ssekms_key_id.clone())
                .send()
                .await;
            sent.fetch_add(CallContext::current().put.sent(), Ordering::Relaxed);
            result
        };
        let permission = self.permission("s3:PutObject");
        let result = self.aws.call(steps, "write", &permission, request).await;
        let is_sent_once = sent.into_inner() <= 1;
        result.map(|_| is_sent_once).map_err(|error| {
            // Without a response, or after an internal error, the object may have been written.
            if is_sent_once && !matches!(error.code(), "" | "InternalError") {
                self.pending_deletes.remove(key);
            }
            self.failure("write", error)
        })
    }

    /// Reads the canary that was just written, if that is the object to read.
    pub(super) async fn read_back(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        if !matches!(self.read_source, ReadSource::Canary) {
            return Ok(());
        }
        let request = || self.get_object().key(key).send();
        let permission = self.permission("s3:GetObject");
        let result = self.aws.call(steps, "read", &permission, request).await;
        let object = result.map_err(|error| match error.code() {
            "NoSuchKey" => Failure::msg("read", "the object that was just written is gone"),
            _ => self.failure("read", error),
        })?;
        let body = object.body.collect().await.map_err(|error| Failure::new("read", error))?;
        if body.into_bytes() == canary::CONTENT {
            return Ok(());
        }
        Err(Failure::msg("read", "the object differs from what was just written"))
    }

    pub(super) async fn delete(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        let request = || self.delete_object().key(key).send();
        let permission = self.permission("s3:DeleteObject");
        let result = self.aws.call(steps, "delete", &permission, request).await;
        result.map(drop).map_err(|error| self.failure("delete", error))
    }

    /// Deletes stale canaries of other processes. An error is ignored, since it recurs in the steps that follow.
    pub(super) async fn sweep(&self, steps: &Steps) {
        let request = || {
            let request = self.list_objects_v2().max_keys(SWEEP_LIMIT);
            request.prefix(canary::folder(&self.prefix)).send()
        };
        let permission = self.permission("s3:ListBucket");
        let Ok(page) = self.aws.call(steps, "sweep", &permission, request).await else { return };
        let keys = page.contents().iter().filter_map(|object| object.key());
        for key in keys.filter(|key| canary::is_stale(&self.prefix, key)) {
            if self.delete(steps, key).await.is_err() {
                return;
            }
        }
        if page.is_truncated() == Some(true) {
            self.pending_deletes.schedule_sweep();
        }
    }

    fn list_objects_v2(&self) -> ListObjectsV2FluentBuilder {
        with_request_settings!(self.client.list_objects_v2(), self)
    }

    fn get_object(&self) -> GetObjectFluentBuilder {
        with_request_settings!(self.client.get_object(), self)
    }

    fn put_object(&self) -> PutObjectFluentBuilder {
        with_request_settings!(self.client.put_object(), self)
    }

    fn delete_object(&self) -> DeleteObjectFluentBuilder {
        with_request_settings!(self.client.delete_object(), self)
    }

    fn permission(&self, action: &str) -> String {
        format!("`{action}` on the bucket `{}`", self.name)
    }

    fn failure(&self, step: &'static str, error: CallError) -> Failure {
        match error.code() {
            "NoSuchBucket" => Failure::msg(step, format!("there is no bucket `{}`", self.name)),
            _ => error.into(),
        }
    }
}
