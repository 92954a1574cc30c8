//! One place of AWS with one account: what a check makes its SDK clients from, and asks through.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use probe::config::Url;
use probe::{Principal, Steps};

use crate::Hosts;
use crate::credentials::Used;
use crate::refusal::Refusal;
use crate::run::Run;

/// A region or an endpoint, and the credentials for it.
///
/// Everything with the same credentials shares their cache, and everything with the same TLS settings the connections.
#[derive(Clone)]
pub struct Aws {
    pub(crate) config: Arc<SdkConfig>,
    pub(crate) endpoint: Option<Url>,
    pub(crate) region: String,
    pub(crate) hosts: Hosts,
    /// To whom these credentials belong.
    pub(crate) principal: Principal,
}

impl Aws {
    /// What the SDK's clients are made from: `Client::new(aws.config())`.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Connections with the same TLS settings, for what is asked beside the SDK.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// The `host:port` that answers for `service`, such as `events.eu-central-1`: the configured endpoint, or AWS itself.
    pub fn target(&self, service: &str) -> String {
        let end = if self.region.starts_with("cn-") { ".cn" } else { "" };
        match &self.endpoint {
            Some(url) => url.authority(443),
            None => format!("{service}.amazonaws.com{end}:443"),
        }
    }

    /// Asks once what `ask` asks, in the step `step`; `permission` is what the credentials need for it, as the failure names it.
    ///
    /// Cached credentials that are refused prove nothing: fresh ones decide.
    pub async fn call<T, E, F>(
        &self,
        steps: &Steps,
        step: &'static str,
        permission: &str,
        ask: impl Fn() -> F + Send + Sync,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut first = true;
        loop {
            let run = Run::begin(step);
            steps.follow(run.steps.clone());
            let answer = run.within(Box::pin(ask())).await;
            steps.begin(step);
            let refusal = match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => Refusal::of(step, permission, error),
            };
            let again = refusal.is_of_credentials() && run.used.get().is_some_and(Used::refused);
            if !(again && first) {
                return Err(refusal);
            }
            first = false;
        }
    }
}

/// Says the place only.
impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.region).finish_non_exhaustive()
    }
}
