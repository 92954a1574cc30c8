//! Whose credentials a request is signed with: keys of the configuration, or what the SDK's default chain finds, kept until they expire or are refused.

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
use probe::{CachedConnection, Cause, Connect, Failure, Secret, Steps};

use crate::hosts::Hosts;
use crate::run::{Run, Told};

/// Credentials that expire sooner are not used any more.
const MARGIN: Duration = Duration::from_mins(1);

const STEP: &str = "authenticate";

/// Where credentials come from; every check with the same source shares one.
#[derive(Debug)]
pub(crate) enum Account {
    /// The configuration.
    Keys {
        credentials: Credentials,
        // Never read, but kept alive: they are masked wherever they appear.
        _secrets: (Secret, Secret, Option<Secret>),
    },
    /// The environment, in the order of the SDK.
    Chain(CachedConnection<Chain>),
}

impl Account {
    async fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let chain = match self {
            Self::Keys { credentials, .. } => return Ok(credentials.clone()),
            Self::Chain(chain) => chain,
        };
        let run = Run::current();
        let granted = chain.run(&run.steps, |granted| async { Ok(granted) }).await;
        let granted = granted.map_err(|failure| CredentialsError::provider_error(Told(failure)))?;
        let before = granted.used.swap(true, Ordering::Relaxed);
        let credentials = granted.credentials.clone();
        // A run has one set of credentials; setting them again changes nothing.
        drop(run.used.set(Used { granted, before }));
        // From here on it is the request that is waited for.
        run.steps.begin(run.step);
        Ok(credentials)
    }
}

/// [`Account`] as the SDK asks it.
#[derive(Debug)]
pub(crate) struct Provider(pub(crate) Arc<Account>);

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.0.credentials())
    }
}

/// What a run was signed with.
pub(crate) struct Used {
    granted: Arc<Granted>,
    before: bool,
}

impl Used {
    /// Notes that they were refused; answers whether fresh ones deserve an attempt, since these were from an earlier run.
    pub(crate) fn refused(&self) -> bool {
        self.granted.refused.store(true, Ordering::Relaxed);
        self.before
    }
}

/// Credentials that the chain has found.
pub(crate) struct Granted {
    credentials: Credentials,
    // Never read, but kept alive: they are masked wherever they appear.
    _secrets: [Secret; 2],
    used: AtomicBool,
    refused: AtomicBool,
}

/// The SDK's default chain.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) profile: Option<String>,
    /// Where roles are assumed if the environment names no region.
    pub(crate) region: Region,
    pub(crate) hosts: Hosts,
}

impl Chain {
    async fn ask(&self) -> Result<Credentials, CredentialsError> {
        let config = ProviderConfig::without_region()
            .with_http_client(self.hosts.clone())
            .with_retry_config(RetryConfig::disabled());
        // Where roles are assumed: in the machine's own region, whose endpoint it surely reaches.
        let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
            .or_else(self.region.clone());
        let mut chain = DefaultCredentialsChain::builder().region(region).configure(config);
        if let Some(profile) = &self.profile {
            chain = chain.profile_name(profile);
        }
        chain.build().await.provide_credentials().await
    }
}

impl Connect for Chain {
    type Connection = Granted;

    async fn connect(&self, steps: &Steps) -> Result<Granted, Failure> {
        steps.begin_with(STEP, "no credentials", "");
        let credentials = Run::begin(STEP).within(self.ask()).await;
        let credentials = credentials.map_err(|error| Failure::new(STEP, cause(error)))?;
        let secret = Secret::new(credentials.secret_access_key());
        let token = Secret::new(credentials.session_token().unwrap_or_default());
        let (used, refused) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Granted { credentials, _secrets: [secret, token], used, refused })
    }

    fn is_closed(granted: &Granted) -> bool {
        let ends = granted.credentials.expiry();
        granted.refused.load(Ordering::Relaxed)
            || ends.is_some_and(|ends| ends <= SystemTime::now() + MARGIN)
    }
}

fn cause(error: CredentialsError) -> Cause {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Cause::msg(
            "no credentials found: neither in the configuration, nor in the environment, a profile, a web identity, a container or the machine's metadata",
        ),
        error => {
            let cause = Cause::from(error);
            // What comes after it says more.
            let text =
                cause.text().trim_start_matches("an error occurred while loading credentials: ");
            Cause::msg(format!("the credentials could not be loaded: {text}"))
        }
    }
}
