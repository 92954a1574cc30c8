//! The half that asks the API: whether the distribution is enabled and deployed, and under which domain.

use aws_client::{Aws, Scope};
use aws_sdk_cloudfront::Client;
use aws_sdk_cloudfront::types::DistributionConfig;
use probe::{Failure, Grant, Steps};

const STEP: &str = "distribution";
const PERMISSION: &str = "cloudfront:GetDistribution";

/// A distribution as the API knows it.
pub(crate) struct Distribution {
    aws: Aws,
    client: Client,
    id: String,
}

impl Distribution {
    pub(crate) fn new(aws: Aws, id: String) -> Self {
        Self { client: Client::new(aws.config()), aws, id }
    }

    /// The API's `host:port`.
    pub(crate) fn target(&self) -> String {
        self.aws.target("cloudfront")
    }

    /// What it takes to ask for it.
    pub(crate) fn grant(&self) -> Grant {
        let name = format!("distribution/{}", self.id);
        self.aws.grant(PERMISSION, Scope::Account, &name)
    }

    /// Its own domain, once it is seen to be enabled and deployed.
    pub(crate) async fn domain(&self, steps: &Steps) -> Result<String, Failure> {
        let permission = format!("`{PERMISSION}` on the distribution `{}`", self.id);
        let request = || self.client.get_distribution().id(&self.id).send();
        let answer = self.aws.call(steps, STEP, &permission, request).await;
        let answer = answer.map_err(|refusal| match refusal.code() {
            "NoSuchDistribution" => {
                Failure::msg(STEP, format!("there is no distribution `{}`", self.id))
            }
            _ => refusal.into(),
        })?;
        let Some(distribution) = answer.distribution() else {
            return Err(Failure::msg(STEP, "the answer tells nothing of the distribution"));
        };
        let enabled = distribution.distribution_config().map(DistributionConfig::enabled);
        judge(enabled.unwrap_or_default(), distribution.status())
            .map_err(|reason| Failure::msg(STEP, reason))?;
        Ok(distribution.domain_name().to_owned())
    }
}

/// Whether it is in use everywhere as it is configured, else why not.
fn judge(enabled: bool, status: &str) -> Result<(), String> {
    match (enabled, status) {
        (true, "Deployed") => Ok(()),
        (true, "InProgress") => {
            Err("enabled, but not deployed to all edges yet (InProgress)".to_owned())
        }
        (true, other) => Err(format!("enabled, but not deployed: its status is `{other}`")),
        (false, "Deployed") => Err("disabled".to_owned()),
        (false, other) => {
            Err(format!("disabled, which is not deployed to all edges yet ({other})"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(enabled: bool, status: &str, expected: &str) {
        assert_eq!(judge(enabled, status).err().unwrap_or_default(), expected);
    }

    #[test]
    fn a_distribution_is_enabled_and_deployed_or_says_what_it_lacks() {
        check(true, "Deployed", "");
        check(true, "InProgress", "enabled, but not deployed to all edges yet (InProgress)");
        check(true, "Odd", "enabled, but not deployed: its status is `Odd`");
        check(false, "Deployed", "disabled");
        check(false, "InProgress", "disabled, which is not deployed to all edges yet (InProgress)");
    }
}
