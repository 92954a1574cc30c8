//! The credentials that sign requests: configured keys, or the SDK's default chain with a cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_types::region::Region;
use probe::step::AUTHENTICATE;
use probe::{CachedConnection, Cause, Connect, Connecting, Failure, Secret, Steps};

use crate::call_context::CallContext;
use crate::call_error::FailureError;
use crate::client_pool::ClientPool;

/// Cached credentials are evicted this long before they expire.
const EXPIRY_MARGIN: Duration = Duration::from_mins(1);

/// Provides credentials to the SDK. Checks with equal credential settings share a provider.
#[derive(Debug)]
pub(crate) enum Provider {
    /// Keys from the configuration.
    Static {
        credentials: Credentials,
        // Never read: a live `Secret` is masked in all output.
        _secrets: (Secret, Secret, Option<Secret>),
    },
    /// The SDK's default chain, behind a cache.
    Chain(CachedConnection<DefaultChain>),
}

impl Provider {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let call = CallContext::current();
        let credentials = match self {
            Self::Static { credentials, .. } => credentials.clone(),
            Self::Chain(chain) => Self::chain_credentials(chain, &call).await?,
        };
        let allowed = call.begin_login(&credentials).map_err(FailureError);
        allowed.map_err(CredentialsError::provider_error)?;
        Ok(credentials)
    }

    async fn chain_credentials(
        chain: &CachedConnection<DefaultChain>,
        call: &CallContext,
    ) -> Result<Credentials, CredentialsError> {
        let cached = chain.run(&call.steps, |cached| async { Ok(cached) }).await;
        let cached =
            cached.map_err(|failure| CredentialsError::provider_error(FailureError(failure)))?;
        let reused = cached.used.swap(true, Ordering::Relaxed);
        let credentials = cached.credentials.clone();
        // The SDK may request credentials twice in one call. The first value stays, and the second is equal.
        drop(call.used.set(UsedCredentials { cached, reused }));
        // The credentials are loaded: from here on, a timeout is the request's.
        call.steps.begin(call.step);
        Ok(credentials)
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }
}

/// The cached credentials that signed a call.
pub(crate) struct UsedCredentials {
    cached: Arc<CachedCredentials>,
    /// Whether an earlier call was signed with them, too.
    reused: bool,
}

impl UsedCredentials {
    /// Evicts the rejected credentials. Returns whether they were reused, so that the call should be retried with fresh ones.
    pub(crate) fn reject(&self) -> bool {
        self.cached.rejected.store(true, Ordering::Relaxed);
        self.reused
    }
}

/// Credentials that the default chain has loaded.
pub(crate) struct CachedCredentials {
    credentials: Credentials,
    // Never read: a live `Secret` is masked in all output.
    _secrets: [Secret; 2],
    used: AtomicBool,
    rejected: AtomicBool,
}

/// The SDK's default credentials chain.
#[derive(Debug)]
pub(crate) struct DefaultChain {
    pub(crate) profile: Option<String>,
    /// The region in which roles are assumed if the environment sets none.
    pub(crate) region: Region,
    pub(crate) client_pool: ClientPool,
}

impl DefaultChain {
    async fn load(&self) -> Result<Credentials, CredentialsError> {
        let config = ProviderConfig::without_region()
            .with_http_client(self.client_pool.clone())
            .with_retry_config(RetryConfig::disabled());
        // Roles are assumed in the machine's own region, since the STS endpoint of another one may be unreachable.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(self.region.clone());
        let mut chain = DefaultCredentialsChain::builder().region(region).configure(config);
        if let Some(profile) = &self.profile {
            chain = chain.profile_name(profile);
        }
        chain.build().await.provide_credentials().await
    }
}

impl Connect for DefaultChain {
    type Connection = CachedCredentials;

    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, CachedCredentials> {
        Box::pin(async move {
            steps.begin_with(AUTHENTICATE, "no credentials", "");
            let credentials = CallContext::new(AUTHENTICATE).scope(self.load()).await;
            let credentials =
                credentials.map_err(|error| Failure::new(AUTHENTICATE, cause(error)))?;
            let secret = Secret::new(credentials.secret_access_key());
            let token = Secret::new(credentials.session_token().unwrap_or_default());
            let (used, rejected) = (AtomicBool::new(false), AtomicBool::new(false));
            Ok(CachedCredentials { credentials, _secrets: [secret, token], used, rejected })
        })
    }

    fn is_closed(cached: &CachedCredentials) -> bool {
        let expiry = cached.credentials.expiry();
        cached.rejected.load(Ordering::Relaxed)
            || expiry.is_some_and(|expiry| expiry <= SystemTime::now() + EXPIRY_MARGIN)
    }
}

fn cause(error: CredentialsError) -> Cause {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Cause::msg(
            "no credentials found in the configuration, the environment, a profile, a web identity, a container or the instance metadata",
        ),
        error => {
            let cause = Cause::from(error);
            // The SDK's own prefix repeats ours.
            let text =
                cause.text().trim_start_matches("an error occurred while loading credentials: ");
            Cause::msg(format!("the credentials could not be loaded: {text}"))
        }
    }
}
