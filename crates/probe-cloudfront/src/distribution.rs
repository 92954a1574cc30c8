//! Looks up a distribution in the API: its state and its domain.

use aws_client::{AwsContext, Scope};
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::types::DistributionConfig;
use probe::{Failure, Grant, Steps};

const STEP: &str = "distribution";
const PERMISSION: &str = "cloudfront:GetDistribution";

/// A distribution in CloudFront's API.
pub(crate) struct Distribution {
    aws: AwsContext,
    client: Client,
    id: String,
}

impl Distribution {
    pub(crate) fn new(aws: AwsContext, id: String) -> Self {
        Self { client: Client::new(aws.config()), aws, id }
    }

    /// The API's `host:port`.
    pub(crate) fn target(&self) -> String {
        self.aws.target("cloudfront")
    }

    /// The permission to look up the distribution.
    pub(crate) fn grant(&self) -> Grant {
        let name = format!("distribution/{}", self.id);
        self.aws.grant(PERMISSION, Scope::Account, &name)
    }

    /// Returns its domain if it is enabled and deployed.
    pub(crate) async fn domain(&self, steps: &Steps) -> Result<String, Failure> {
        let permission = format!("`{PERMISSION}` on the distribution `{}`", self.id);
        let request = || self.client.get_distribution().id(&self.id).send();
        let result = self.aws.call(steps, STEP, &permission, request).await;
        let output = result.map_err(|error| match error.code() {
            "NoSuchDistribution" => {
                Failure::msg(STEP, format!("there is no distribution `{}`", self.id))
            }
            _ => error.into(),
        })?;
        let Some(distribution) = output.distribution() else {
            return Err(Failure::msg(STEP, "the response contains no distribution"));
        };
        let enabled = distribution.distribution_config().map(DistributionConfig::enabled);
        verify_state(enabled.unwrap_or_default(), distribution.status())
            .map_err(|reason| Failure::msg(STEP, reason))?;
        Ok(distribution.domain_name().to_owned())
    }
}

/// Returns an error unless the current configuration is enabled and deployed everywhere.
fn verify_state(enabled: bool, status: &str) -> Result<(), String> {
    match (enabled, status) {
        (true, "Deployed") => Ok(()),
        (true, "InProgress") => {
            Err("enabled, but not deployed to all edges yet (InProgress)".to_owned())
        }
        (true, other) => Err(format!("enabled, but not deployed: its status is `{other}`")),
        (false, "Deployed") => Err("disabled".to_owned()),
        (false, other) => {
            Err(format!("disabled, but that is not deployed to all edges yet ({other})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(enabled: bool, status: &str, expected: &str) {
        assert_eq!(verify_state(enabled, status).err().unwrap_or_default(), expected);
    }

    #[test]
    fn a_distribution_must_be_enabled_and_deployed() {
        check(true, "Deployed", "");
        check(true, "InProgress", "enabled, but not deployed to all edges yet (InProgress)");
        check(true, "Odd", "enabled, but not deployed: its status is `Odd`");
        check(false, "Deployed", "disabled");
        check(
            false,
            "InProgress",
            "disabled, but that is not deployed to all edges yet (InProgress)",
        );
    }
}
