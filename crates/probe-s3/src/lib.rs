//! Checks that each bucket grants the kinds of access that the application needs.
//!
//! ```toml
//! [s3.files]
//! bucket = "app-files"
//! region = "eu-central-1"
//! access = ["list", "read", "write", "delete"]
//! prefix = "tmp/"          # where the gateway's own objects go: `tmp/health-gateway/...`
//! ```
//!
//! A check makes no other access.
//!
//! The check itself is in `aws-client`, since `probe-history` uses it for its files, too.

use std::sync::Arc;

use aws_client::s3::Bucket;
use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};

/// The kind of the section with the buckets, each under its name.
pub const KIND: Kind = Kind { name: "s3", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|_, fields| {
        Bucket::read(fields, section.shared()).map(Arc::new).map(BucketCheck)
    })
}

struct BucketCheck(Arc<Bucket>);

impl Check for BucketCheck {
    fn target(&self) -> &str {
        self.0.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        self.0.check(steps).await
    }

    fn leaves_traces(&self) -> bool {
        self.0.writes()
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(self.0.grants())
    }
}
