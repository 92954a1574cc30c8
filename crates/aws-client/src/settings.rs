//! The settings that all AWS sections share.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use aws_types::region::Region;
use probe::SharedResources;
use probe::config::{Fields, Url};

use crate::AwsContext;
use crate::client_pool::ClientPool;
use crate::credential_settings::CredentialSettings;

impl AwsContext {
    /// Reads `region` (required unless there is a default), `endpoint_url`, `access_key_id`, `secret_access_key`, `session_token`, `profile` and the settings of TLS. Errors are reported in `fields`.
    ///
    /// Without keys, credentials come from the SDK's default chain: the environment, profiles, web identity, containers, instance metadata.
    pub fn read(
        fields: &mut Fields<'_>,
        shared: &SharedResources,
        default_region: Option<&str>,
    ) -> Option<Self> {
        let region = region(fields, default_region);
        let endpoint = endpoint(fields);
        let credentials = CredentialSettings::read(fields);
        let tls = net::TlsSettings::read(fields);
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
            logins: Arc::default(),
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
    let is_bare =
        url.username().is_empty() && url.password().is_none() && url.parameters().is_empty();
    if !is_bare || url.text().expose().contains(['?', '#']) {
        fields.error("endpoint_url", "expected a URL without user, query and fragment");
        return Err(());
    }
    Ok(Some(url))
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
