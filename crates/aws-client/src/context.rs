//! The settings and calls of one AWS region or endpoint with one set of credentials.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_types::SdkConfig;
use probe::config::Url;
use probe::{LoginBackoff, Principal, Steps};
use tokio::time::sleep;

use crate::call_context::CallContext;
use crate::call_error::CallError;
use crate::client_pool::ClientPool;
use crate::credentials::UsedCredentials;
use crate::retry::MAX_ATTEMPTS;

/// A region or an endpoint, and the credentials for it.
///
/// Contexts with equal credential settings share the cached credentials; those with equal TLS settings share the connections.
#[derive(Clone)]
pub struct AwsContext {
    pub(crate) config: Arc<SdkConfig>,
    pub(crate) endpoint: Option<Url>,
    pub(crate) region: String,
    pub(crate) client_pool: ClientPool,
    /// The refused logins of this region or endpoint.
    pub(crate) logins: Arc<LoginBackoff>,
    /// The principal of the credentials, for the grants.
    pub(crate) principal: Principal,
}

impl AwsContext {
    /// The configuration for the SDK's clients: `Client::new(aws.config())`.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    /// The region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The pool of clients with the same TLS settings, for requests outside of the SDK.
    pub fn client_pool(&self) -> &ClientPool {
        &self.client_pool
    }

    /// The `host:port` of `service`, such as `events.eu-central-1`: the configured endpoint, or AWS itself.
    pub fn target(&self, service: &str) -> String {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        match &self.endpoint {
            Some(url) => url.authority(443),
            None => format!("{service}.amazonaws.com{suffix}:443"),
        }
    }

    /// Makes a call in the step `step`. If access is denied, the failure names `permission`.
    ///
    /// If the service rejects cached credentials, the call is repeated once with fresh ones.
    /// If the service fails or throttles, the call is repeated after a pause, up to three times in all.
    pub async fn call<T, E, F>(
        &self,
        steps: &Steps,
        step: &'static str,
        permission: &str,
        send: impl Fn() -> F + Send + Sync,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>> + Send,
        E: ProvideErrorMetadata + Error + 'static,
    {
        let (mut attempts, mut has_fresh_credentials) = (0, false);
        loop {
            attempts += 1;
            let call = CallContext::with_logins(step, self.logins.clone());
            steps.follow(call.steps.clone());
            let result = call.scope(Box::pin(send())).await;
            steps.begin(step);
            let result =
                result.map_err(|error| CallError::from_sdk(step, &self.region, permission, error));
            let error = match call.end_login(result) {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            match error.retryable() {
                Some(retryable) if attempts < MAX_ATTEMPTS => {
                    steps.begin_with(
                        step,
                        error.cause(),
                        format!("{attempts} of {MAX_ATTEMPTS} attempts"),
                    );
                    sleep(retryable.pause(attempts)).await;
                    steps.begin(step);
                    continue;
                }
                Some(_) => {
                    let context = format!("after {attempts} attempts");
                    return Err(error.map_failure(|failure| failure.in_context(context)));
                }
                None => {}
            }
            let is_rejected =
                error.is_authentication() && call.used.get().is_some_and(UsedCredentials::reject);
            if has_fresh_credentials || !is_rejected {
                return Err(error);
            }
            has_fresh_credentials = true;
        }
    }
}

/// Shows the region only, never credentials.
impl fmt::Debug for AwsContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsContext").field("region", &self.region).finish_non_exhaustive()
    }
}
