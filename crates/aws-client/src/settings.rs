//! The settings that all AWS sections share.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use aws_types::region::Region;
use probe::config::{Fields, Url};
use probe::{CachedConnection, Principal, Secret, SharedResources};

use crate::AwsContext;
use crate::client_pool::ClientPool;
use crate::credentials::{DefaultChain, Provider};
use crate::grants::IAM;

impl AwsContext {
    /// Reads `region` (required unless there is a default), `endpoint_url`, `access_key_id`, `secret_access_key`, `session_token`, `profile`, `ca`, `certificate` and `private_key`. Errors are reported in `fields`.
    ///
    /// Without keys, credentials come from the SDK's default chain: the environment, profiles, web identity, containers, instance metadata.
    pub fn read(
        fields: &mut Fields<'_>,
        shared: &SharedResources,
        default_region: Option<&str>,
    ) -> Option<Self> {
        let region = region(fields, default_region);
        let endpoint = endpoint(fields);
        let credentials = credentials(fields);
        let tls = tls::Settings::read(fields);
        let (region, endpoint, credentials, tls) = (region?, endpoint.ok()?, credentials?, tls?);
        let is_plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
        tls.expect_use(fields, !is_plain, "an `endpoint_url` that begins with `https`")?;
        let principal = credentials.principal(endpoint.as_ref());
        let provider = credentials.provider(shared, &region);
        let client_pool = ClientPool::shared(shared, &tls);
        Some(Self {
            config: Arc::new(config(&region, endpoint.as_ref(), provider, client_pool.clone())),
            client_pool,
            endpoint,
            region,
            principal,
        })
    }
}

fn region(fields: &mut Fields<'_>, default: Option<&str>) -> Option<String> {
    let region: String = match default {
        Some(default) => fields.with_default("region", default.to_owned()),
        None => fields.required("region")?,
    };
    // The region becomes a part of host names.
    let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.is_empty() || region.len() > 40 || !region.chars().all(is_valid) {
        fields.error("region", "expected a region such as `eu-central-1`");
        return None;
    }
    Some(region)
}

/// Reads the endpoint, if one is configured. Returns `Err` if it is wrong or not known yet.
fn endpoint(fields: &mut Fields<'_>) -> Result<Option<Url>, ()> {
    let url = fields.optional_url("endpoint_url", &["http", "https"]);
    if !fields.has("endpoint_url") {
        return Ok(None);
    }
    let url = url.ok_or(())?;
    let is_bare = url.username().is_empty() && url.password().is_none() && url.query().is_empty();
    if !is_bare || url.text().expose().contains(['?', '#']) {
        fields.error("endpoint_url", "expected a URL without user, query and fragment");
        return Err(());
    }
    Ok(Some(url))
}

/// The configured source of credentials.
enum CredentialSettings {
    Keys { id: Secret, secret: Secret, token: Option<Secret> },
    Chain { profile: Option<String> },
}

fn credentials(fields: &mut Fields<'_>) -> Option<CredentialSettings> {
    let id: Option<Secret> = fields.optional("access_key_id");
    let secret: Option<Secret> = fields.optional("secret_access_key");
    let token: Option<Secret> = fields.optional("session_token");
    let profile: Option<String> = fields.optional("profile");
    let mut is_valid = true;
    for (key, other) in [
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
        ("session_token", "access_key_id"),
    ] {
        if fields.has(key) && !fields.has(other) {
            fields.error(key, format!("expected `{other}` beside it"));
            is_valid = false;
        }
    }
    if fields.has("profile") && fields.has("access_key_id") {
        fields.error("profile", "expected either a profile or an access key");
        is_valid = false;
    }
    for (key, value) in
        [("access_key_id", &id), ("secret_access_key", &secret), ("session_token", &token)]
    {
        // These values become parts of headers.
        let text = value.as_ref().map(Secret::expose);
        if text.is_some_and(|text| {
            text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic())
        }) {
            fields.error(key, "expected visible ASCII characters without spaces");
            is_valid = false;
        }
    }
    let is_unread = |key: &str, is_read: bool| fields.has(key) && !is_read;
    if !is_valid
        || is_unread("access_key_id", id.is_some())
        || is_unread("secret_access_key", secret.is_some())
        || is_unread("session_token", token.is_some())
        || is_unread("profile", profile.is_some())
    {
        return None;
    }
    Some(match id.zip(secret) {
        Some((id, secret)) => CredentialSettings::Keys { id, secret, token },
        None => CredentialSettings::Chain { profile },
    })
}

impl CredentialSettings {
    /// The principal to grant permissions to. A policy of AWS applies to all its services, that of another server only to this one.
    fn principal(&self, endpoint: Option<&Url>) -> Principal {
        let server = endpoint.map_or_else(|| "AWS".to_owned(), |url| url.authority(443));
        match self {
            Self::Keys { id, .. } => {
                Principal::new(&IAM, server, "the access key of the configuration")
                    .distinguished_by(id)
            }
            Self::Chain { profile: None } => {
                Principal::new(&IAM, server, "the credentials of the environment")
            }
            Self::Chain { profile: Some(profile) } => {
                Principal::new(&IAM, server, format!("the profile {profile}"))
            }
        }
    }

    /// Returns the shared provider with these settings.
    fn provider(self, shared: &SharedResources, region: &str) -> Arc<Provider> {
        match self {
            Self::Keys { id, secret, token } => {
                let session_token = token.as_ref().map(|token| token.expose().to_owned());
                let credentials = Credentials::new(
                    id.expose(),
                    secret.expose(),
                    session_token,
                    None,
                    "configuration",
                );
                Arc::new(Provider::Static { credentials, _secrets: (id, secret, token) })
            }
            Self::Chain { profile } => {
                // Credentials are valid in all regions, so that the region is no part of the identity.
                let name = profile.as_deref().unwrap_or_default();
                let identity = Secret::new(format!("profile={name}"));
                // The TLS settings are those of the endpoint, not of the servers that issue credentials.
                let client_pool = ClientPool::shared(shared, &tls::Settings::default());
                let region = Region::new(region.to_owned());
                shared.get_or_insert(&identity, || {
                    Provider::Chain(CachedConnection::new(DefaultChain {
                        profile,
                        region,
                        client_pool,
                    }))
                })
            }
        }
    }
}

fn config(
    region: &str,
    endpoint: Option<&Url>,
    provider: Arc<dyn ProvideCredentials>,
    client_pool: ClientPool,
) -> SdkConfig {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::from(provider))
        .identity_cache(IdentityCache::no_cache())
        .http_client(client_pool)
        .sleep_impl(TokioSleep::new())
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .disable_clock_skew_correction(true);
    if let Some(url) = endpoint {
        config = config.endpoint_url(url.text().expose());
    }
    config.build()
}
