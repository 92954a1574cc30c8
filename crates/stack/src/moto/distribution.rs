//! A distribution of `CloudFront`.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::Result;

/// The domain that every distribution has beside its own; it resolves nowhere.
pub const ALTERNATE_DOMAIN: &str = "cdn.app.example";

/// What is known about a distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Its id.
    pub id: String,
    /// Its own domain, which resolves nowhere.
    pub domain: String,
}

impl Distribution {
    /// Makes one and asks for it once: a new one is in progress when it is first asked for.
    pub(crate) fn make(aws: &Aws) -> Result<Self> {
        let origin = json!({
            "Id": "files",
            "DomainName": "app-files.s3.amazonaws.com",
            "S3OriginConfig": {"OriginAccessIdentity": ""},
        });
        let behavior = json!({
            "TargetOriginId": "files",
            "ViewerProtocolPolicy": "allow-all",
            "MinTTL": 0,
            "ForwardedValues": {"QueryString": false, "Cookies": {"Forward": "none"}},
        });
        let config = json!({
            "CallerReference": unique(),
            "Comment": "the application's files",
            "Enabled": true,
            "Aliases": {"Quantity": 1, "Items": [ALTERNATE_DOMAIN]},
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": behavior,
        });
        let config = json!({"DistributionConfig": config});
        let made = aws.call("cloudfront", "create_distribution", &config)?;
        let text = |name| made["Distribution"][name].as_str().unwrap_or_default().to_owned();
        let distribution = Self { id: text("Id"), domain: text("DomainName") };
        aws.call("cloudfront", "get_distribution", &json!({"Id": distribution.id}))?;
        Ok(distribution)
    }

    pub(crate) fn disable(&self, aws: &Aws) -> Result<()> {
        let mut answer =
            aws.call("cloudfront", "get_distribution_config", &json!({"Id": self.id}))?;
        answer["DistributionConfig"]["Enabled"] = Value::Bool(false);
        let config = json!({
            "Id": self.id,
            "IfMatch": answer["ETag"],
            "DistributionConfig": answer["DistributionConfig"],
        });
        aws.call("cloudfront", "update_distribution", &config).map(drop)
    }
}

/// A reference that no other request has: the same one twice is a repetition.
fn unique() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:?}", now.unwrap_or_default())
}
