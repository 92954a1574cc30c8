//! The permissions that the check of a bucket needs.

use probe::Grant;

use super::bucket::{Access, Bucket, ReadSource};
use super::canary;
use crate::Scope;
use crate::grants::literal;

impl Bucket {
    /// The permissions for each kind of access, limited to the keys that the check uses.
    pub fn grants(&self) -> Vec<Grant> {
        let has_unique_keys = self.needs(Access::Write) && self.needs(Access::Delete);
        let canary = if has_unique_keys {
            format!("{}*", literal(&canary::folder(&self.prefix)))
        } else {
            literal(&canary::fixed_key(&self.prefix))
        };
        let absent = literal(&canary::absent_key(&self.prefix));
        let mut grants: Vec<_> = self.list_grant().into_iter().collect();
        grants.extend(match &self.read_source {
            ReadSource::None => None,
            ReadSource::Object(key) => Some(self.grant("s3:GetObject", &literal(key))),
            ReadSource::Canary => Some(self.grant("s3:GetObject", &canary)),
            ReadSource::Absent => Some(self.grant("s3:GetObject", &absent)),
        });
        if self.needs(Access::Write) {
            grants.push(self.grant("s3:PutObject", &canary));
            grants.extend(self.key_grant("kms:GenerateDataKey"));
        }
        if matches!(self.read_source, ReadSource::Canary) {
            grants.extend(self.key_grant("kms:Decrypt"));
        }
        if self.needs(Access::Delete) {
            let key = if has_unique_keys { &canary } else { &absent };
            grants.push(self.grant("s3:DeleteObject", key));
        }
        grants
    }

    fn list_grant(&self) -> Option<Grant> {
        let prefix = match self.read_source {
            // Only an unrestricted list permission makes S3 report a missing object as missing.
            ReadSource::Absent => "",
            _ if self.needs(Access::List) => &self.prefix,
            _ => return None,
        };
        Some(self.aws.grant_within("s3:ListBucket", Scope::Global, &self.name, prefix))
    }

    /// The permission for `action` on the configured key. The resource of a policy cannot be an alias.
    fn key_grant(&self, action: &str) -> Option<Grant> {
        let key = self.requests.ssekms_key_id.as_deref()?;
        if key.contains("alias/") {
            return None;
        }
        // The key may be in another account, which only its ARN names.
        let id = key.rsplit_once(":key/").map_or(key, |(_, id)| id);
        Some(self.aws.grant(action, Scope::Region, &format!("key/{}", literal(id))))
    }

    fn grant(&self, action: &str, key: &str) -> Grant {
        self.aws.grant(action, Scope::Global, &format!("{}/{key}", self.name))
    }
}
