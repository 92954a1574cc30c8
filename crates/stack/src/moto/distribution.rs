//! Creates and disables distributions of `CloudFront`.

use serde_json::{Value, json};

use crate::aws::Aws;
use crate::error::Result;

/// The alternate domain of every distribution, which does not resolve.
pub const ALTERNATE_DOMAIN: &str = "cdn.app.example";

/// A distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Its ID.
    pub id: String,
    /// Its own domain, which does not resolve.
    pub domain: String,
}

impl Distribution {
    /// Creates a distribution and gets it once, because moto shows a new one as in progress the first time.
    pub(crate) fn create(aws: &Aws) -> Result<Self> {
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
            "CallerReference": caller_reference(),
            "Comment": "the application's files",
            "Enabled": true,
            "Aliases": {"Quantity": 1, "Items": [ALTERNATE_DOMAIN]},
            "Origins": {"Quantity": 1, "Items": [origin]},
            "DefaultCacheBehavior": behavior,
        });
        let config = json!({"DistributionConfig": config});
        let created = aws.call("cloudfront", "create_distribution", &config)?;
        let text = |name| created["Distribution"][name].as_str().unwrap_or_default().to_owned();
        let distribution = Self { id: text("Id"), domain: text("DomainName") };
        aws.call("cloudfront", "get_distribution", &json!({"Id": distribution.id}))?;
        Ok(distribution)
    }

    pub(crate) fn disable(&self, aws: &Aws) -> Result<()> {
        let mut response =
            aws.call("cloudfront", "get_distribution_config", &json!({"Id": self.id}))?;
        response["DistributionConfig"]["Enabled"] = Value::Bool(false);
        let config = json!({
            "Id": self.id,
            "IfMatch": response["ETag"],
            "DistributionConfig": response["DistributionConfig"],
        });
        aws.call("cloudfront", "update_distribution", &config).map(drop)
    }
}

/// Returns a unique caller reference; a request with a known reference is a repetition.
fn caller_reference() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:?}", now.unwrap_or_default())
}
