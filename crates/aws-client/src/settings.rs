//! The settings that every AWS section has, and what they become.

use std::sync::Arc;

use aws_config::BehaviorVersion;
use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_types::SdkConfig;
use aws_types::region::Region;
use probe::config::{Fields, Url};
use probe::{CachedConnection, Principal, Secret, SharedResources};

use crate::Aws;
use crate::credentials::{Account, Chain, Provider};
use crate::grants::IAM;
use crate::hosts::Hosts;

impl Aws {
    /// Reads `region` (required unless there is a default), `endpoint_url`, `access_key_id`, `secret_access_key`, `session_token`, `profile`, `ca`, `certificate` and `private_key`; what is wrong is noted.
    ///
    /// Without keys, credentials come from the SDK's default chain: the environment, profiles, web identity, containers, the machine's metadata.
    pub fn read(
        fields: &mut Fields<'_>,
        shared: &SharedResources,
        default_region: Option<&str>,
    ) -> Option<Self> {
        let region = region(fields, default_region);
        let endpoint = endpoint(fields);
        let account = source(fields);
        let tls = net::TlsSettings::read(fields);
        let (region, endpoint, source, tls) = (region?, endpoint.ok()?, account?, tls?);
        let plain = endpoint.as_ref().is_some_and(|url| url.scheme() == "http");
        tls.expect_use(fields, !plain, "an `endpoint_url` that begins with `https`")?;
        let principal = source.principal(endpoint.as_ref());
        let account = source.account(shared, &region);
        let hosts = Hosts::shared(shared, &tls);
        Some(Self {
            config: Arc::new(config(&region, endpoint.as_ref(), account, hosts.clone())),
            hosts,
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
    // It becomes a part of host names.
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if region.is_empty() || region.len() > 40 || !region.chars().all(fits) {
        fields.error("region", "expected a region such as `eu-central-1`");
        return None;
    }
    Some(region)
}

/// The endpoint, if one is written; the error is a mistake that is noted, or a value that is not known yet.
fn endpoint(fields: &mut Fields<'_>) -> Result<Option<Url>, ()> {
    let url = fields.optional_url("endpoint_url", &["http", "https"]);
    if !fields.has("endpoint_url") {
        return Ok(None);
    }
    let url = url.ok_or(())?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_empty();
    if !bare || url.text().expose().contains(['?', '#']) {
        fields.error("endpoint_url", "expected a URL without user, query and fragment");
        return Err(());
    }
    Ok(Some(url))
}

/// Where the credentials are to come from.
enum Source {
    Keys { id: Secret, secret: Secret, token: Option<Secret> },
    Chain { profile: Option<String> },
}

fn source(fields: &mut Fields<'_>) -> Option<Source> {
    let id: Option<Secret> = fields.optional("access_key_id");
    let secret: Option<Secret> = fields.optional("secret_access_key");
    let token: Option<Secret> = fields.optional("session_token");
    let profile: Option<String> = fields.optional("profile");
    let mut right = true;
    for (key, other) in [
        ("access_key_id", "secret_access_key"),
        ("secret_access_key", "access_key_id"),
        ("session_token", "access_key_id"),
    ] {
        if fields.has(key) && !fields.has(other) {
            fields.error(key, format!("expected `{other}` beside it"));
            right = false;
        }
    }
    if fields.has("profile") && fields.has("access_key_id") {
        fields.error("profile", "expected either a profile or an access key");
        right = false;
    }
    for (key, value) in
        [("access_key_id", &id), ("secret_access_key", &secret), ("session_token", &token)]
    {
        // They stand in headers.
        let text = value.as_ref().map(Secret::expose);
        if text.is_some_and(|text| {
            text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic())
        }) {
            fields.error(key, "expected visible ASCII characters without spaces");
            right = false;
        }
    }
    let unread = |key: &str, read: bool| fields.has(key) && !read;
    if !right
        || unread("access_key_id", id.is_some())
        || unread("secret_access_key", secret.is_some())
        || unread("session_token", token.is_some())
        || unread("profile", profile.is_some())
    {
        return None;
    }
    Some(match id.zip(secret) {
        Some((id, secret)) => Source::Keys { id, secret, token },
        None => Source::Chain { profile },
    })
}

impl Source {
    /// Who is granted what the credentials need. Policies of AWS hold for all its services, those of another server for that one.
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

    /// The account that everybody with this source shares.
    fn account(self, shared: &SharedResources, region: &str) -> Arc<Account> {
        match self {
            Self::Keys { id, secret, token } => {
                let text = token.as_ref().map(|token| token.expose().to_owned());
                let credentials =
                    Credentials::new(id.expose(), secret.expose(), text, None, "configuration");
                Arc::new(Account::Keys { credentials, _secrets: (id, secret, token) })
            }
            Self::Chain { profile } => {
                // Credentials are good in every region: one cache serves all.
                let name = profile.as_deref().unwrap_or_default();
                let identity = Secret::new(format!("profile={name}"));
                // Where credentials come from has nothing to do with the certificates of a configured endpoint.
                let hosts = Hosts::shared(shared, &net::TlsSettings::default());
                let region = Region::new(region.to_owned());
                shared.get_or_insert(&identity, || {
                    Account::Chain(CachedConnection::new(Chain { profile, region, hosts }))
                })
            }
        }
    }
}

fn config(region: &str, endpoint: Option<&Url>, account: Arc<Account>, hosts: Hosts) -> SdkConfig {
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .credentials_provider(SharedCredentialsProvider::new(Provider(account)))
        .identity_cache(IdentityCache::no_cache())
        .http_client(hosts)
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
