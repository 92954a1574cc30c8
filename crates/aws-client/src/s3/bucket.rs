//! One run: what is asked of the bucket, in which order, and what the answers mean.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use probe::{Failure, Grant, Steps};

use super::canary::{self, Leftovers};
use crate::grants::literal;
use crate::{Aws, Refusal, Scope};

/// How many canaries of others are removed in one run.
const SWEPT: i32 = 20;

/// A bucket and the access to it that is needed.
pub struct Bucket {
    pub(super) aws: Aws,
    pub(super) client: Client,
    pub(super) target: String,
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) access: Vec<Access>,
    pub(super) read: Read,
    pub(super) leftovers: Leftovers,
}

/// A kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    List,
    Read,
    Write,
    Delete,
}

/// What `read` reads.
pub(super) enum Read {
    Nothing,
    /// An object of the application, of which one byte is enough.
    Object(String),
    /// What was just written.
    Canary,
    /// Nothing that is there: who may list is told so, if he may read.
    Absent,
}

impl Bucket {
    /// `host:port`, as failures show it.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// What each kind of access takes, on no other keys than are touched.
    pub fn grants(&self) -> Vec<Grant> {
        let both = self.needs(Access::Write) && self.needs(Access::Delete);
        let own = if both {
            format!("{}*", literal(&canary::folder(&self.prefix)))
        } else {
            literal(&canary::only(&self.prefix))
        };
        let absent = literal(&canary::absent(&self.prefix));
        let on = |action: &str, key: &str| {
            self.aws.grant(action, Scope::Everywhere, &format!("{}/{key}", self.name))
        };
        let mut grants = Vec::new();
        if self.needs(Access::List) || matches!(self.read, Read::Absent) {
            // Whether an object is missing is told to those who may list whatever there is.
            let prefix = if matches!(self.read, Read::Absent) { "" } else { self.prefix.as_str() };
            grants.push(self.aws.grant_within(
                "s3:ListBucket",
                Scope::Everywhere,
                &self.name,
                prefix,
            ));
        }
        grants.extend(match &self.read {
            Read::Nothing => None,
            Read::Object(key) => Some(on("s3:GetObject", &literal(key))),
            Read::Canary => Some(on("s3:GetObject", &own)),
            Read::Absent => Some(on("s3:GetObject", &absent)),
        });
        if self.needs(Access::Write) {
            grants.push(on("s3:PutObject", &own));
        }
        if self.needs(Access::Delete) {
            grants.push(on("s3:DeleteObject", if both { &own } else { &absent }));
        }
        grants
    }

    /// Uses each kind of access once.
    pub async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        if self.needs(Access::List) {
            self.list(steps).await?;
        }
        match &self.read {
            Read::Object(key) => self.read_object(steps, key).await?,
            Read::Absent => self.read_nothing(steps).await?,
            Read::Canary | Read::Nothing => {}
        }
        match (self.needs(Access::Write), self.needs(Access::Delete)) {
            (true, true) => self.write_and_delete(steps).await,
            (true, false) => {
                let key = canary::only(&self.prefix);
                self.write(steps, &key).await?;
                self.read_back(steps, &key).await
            }
            (false, true) => self.delete(steps, &canary::absent(&self.prefix)).await,
            (false, false) => Ok(()),
        }
    }

    async fn list(&self, steps: &Steps) -> Result<(), Failure> {
        let request = || {
            let request = self.client.list_objects_v2().bucket(&self.name).max_keys(1);
            request.set_prefix(Some(self.prefix.clone()).filter(|prefix| !prefix.is_empty())).send()
        };
        let answer = self.aws.call(steps, "list", &self.permission("s3:ListBucket"), request).await;
        answer.map(drop).map_err(|refusal| self.failure("list", refusal))
    }

    async fn read_object(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        let request =
            || self.client.get_object().bucket(&self.name).key(key).range("bytes=0-0").send();
        let permission = self.permission("s3:GetObject");
        match self.aws.call(steps, "read", &permission, request).await {
            Ok(_) => Ok(()),
            // An empty object has no first byte.
            Err(refusal) if refusal.code() == "InvalidRange" => Ok(()),
            Err(refusal) if refusal.code() == "NoSuchKey" => Err(Failure::msg(
                "read",
                format!("there is no object `{key}` in the bucket `{}`", self.name),
            )),
            Err(refusal) => Err(self.failure("read", refusal)),
        }
    }

    async fn read_nothing(&self, steps: &Steps) -> Result<(), Failure> {
        let key = canary::absent(&self.prefix);
        let request = || self.client.get_object().bucket(&self.name).key(&key).send();
        let permission = self.permission("s3:GetObject");
        match self.aws.call(steps, "read", &permission, request).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.code() == "NoSuchKey" => Ok(()),
            Err(refusal) => Err(self.failure("read", refusal)),
        }
    }

    async fn write_and_delete(&self, steps: &Steps) -> Result<(), Failure> {
        for key in self.leftovers.keys() {
            self.delete(steps, &key).await?;
        }
        if self.needs(Access::List) && self.leftovers.is_sweep_due() {
            self.sweep(steps).await;
        }
        let key = canary::fresh(&self.prefix);
        self.leftovers.add(&key);
        self.write(steps, &key).await?;
        let read = self.read_back(steps, &key).await;
        let deleted = self.delete(steps, &key).await;
        read.and(deleted)
    }

    async fn write(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        let request = || {
            let body = ByteStream::from_static(canary::CONTENT);
            let request = self.client.put_object().bucket(&self.name).key(key).body(body);
            request.content_type("text/plain; charset=utf-8").send()
        };
        let permission = self.permission("s3:PutObject");
        match self.aws.call(steps, "write", &permission, request).await {
            Ok(_) => Ok(()),
            Err(refusal) => {
                // Without an answer, or with this one, nobody knows whether it was written.
                if !matches!(refusal.code(), "" | "InternalError") {
                    self.leftovers.remove(key);
                }
                Err(self.failure("write", refusal))
            }
        }
    }

    /// Reads what was just written, if reading is asked for at all.
    async fn read_back(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        if !matches!(self.read, Read::Canary) {
            return Ok(());
        }
        let request = || self.client.get_object().bucket(&self.name).key(key).send();
        let permission = self.permission("s3:GetObject");
        let answer = self.aws.call(steps, "read", &permission, request).await;
        let answer = answer.map_err(|refusal| match refusal.code() {
            "NoSuchKey" => Failure::msg("read", "the object that was just written is gone"),
            _ => self.failure("read", refusal),
        })?;
        let body = answer.body.collect().await.map_err(|error| Failure::new("read", error))?;
        if body.into_bytes() == canary::CONTENT {
            return Ok(());
        }
        Err(Failure::msg("read", "something else came back than was written"))
    }

    async fn delete(&self, steps: &Steps, key: &str) -> Result<(), Failure> {
        let request = || self.client.delete_object().bucket(&self.name).key(key).send();
        let permission = self.permission("s3:DeleteObject");
        let answer = self.aws.call(steps, "delete", &permission, request).await;
        answer.map_err(|refusal| self.failure("delete", refusal))?;
        self.leftovers.remove(key);
        Ok(())
    }

    /// Removes canaries that other processes have left; when that fails, the steps that matter will say why.
    async fn sweep(&self, steps: &Steps) {
        let request = || {
            let request = self.client.list_objects_v2().bucket(&self.name).max_keys(SWEPT);
            request.prefix(canary::folder(&self.prefix)).send()
        };
        let permission = self.permission("s3:ListBucket");
        let Ok(found) = self.aws.call(steps, "sweep", &permission, request).await else { return };
        let keys = found.contents().iter().filter_map(|object| object.key());
        for key in keys.filter(|key| canary::is_old(&self.prefix, key)) {
            if self.delete(steps, key).await.is_err() {
                return;
            }
        }
        if found.is_truncated() == Some(true) {
            self.leftovers.sweep_again();
        }
    }

    fn needs(&self, access: Access) -> bool {
        self.access.contains(&access)
    }

    fn permission(&self, name: &str) -> String {
        format!("`{name}` on the bucket `{}`", self.name)
    }

    fn failure(&self, step: &'static str, refusal: Refusal) -> Failure {
        match refusal.code() {
            "NoSuchBucket" => Failure::msg(step, format!("there is no bucket `{}`", self.name)),
            _ => refusal.into(),
        }
    }
}
