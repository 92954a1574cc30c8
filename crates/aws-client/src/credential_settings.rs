//! The settings of the credentials: configured keys, or a profile of the default chain.

use std::sync::Arc;

use aws_credential_types::Credentials;
use aws_types::region::Region;
use probe::config::{Fields, Url};
use probe::{CachedConnection, Fingerprint, Principal, Reconnect, Secret, SharedResources};

use crate::client_pool::ClientPool;
use crate::credentials::{DefaultChain, Provider};
use crate::grants::IAM;

/// The configured source of credentials.
pub(crate) enum CredentialSettings {
    Keys { id: Secret, secret: Secret, token: Option<Secret> },
    Chain { profile: Option<String> },
}

impl CredentialSettings {
    /// Reads `access_key_id`, `secret_access_key`, `session_token` and `profile`. Errors are reported in `fields`.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let id: Option<Secret> = fields.optional("access_key_id");
        let secret: Option<Secret> = fields.optional("secret_access_key");
        let token: Option<Secret> = fields.optional("session_token");
        let profile: Option<String> = fields.optional("profile");
        let has_valid_keys = validate_combination(fields);
        let has_valid_values = validate_value(fields, "access_key_id", id.as_ref())
            & validate_value(fields, "secret_access_key", secret.as_ref())
            & validate_value(fields, "session_token", token.as_ref());
        let is_unread = |key: &str, is_read: bool| fields.has(key) && !is_read;
        if !has_valid_keys
            || !has_valid_values
            || is_unread("access_key_id", id.is_some())
            || is_unread("secret_access_key", secret.is_some())
            || is_unread("session_token", token.is_some())
            || is_unread("profile", profile.is_some())
        {
            return None;
        }
        Some(match id.zip(secret) {
            Some((id, secret)) => Self::Keys { id, secret, token },
            None => Self::Chain { profile },
        })
    }

    /// The principal to grant permissions to. A policy of AWS applies to all its services, and that of another server to that server only.
    pub(crate) fn principal(&self, endpoint: Option<&Url>) -> Principal {
        let server = endpoint.map_or_else(|| "AWS".to_owned(), |url| url.authority(443));
        match self {
            Self::Keys { id, .. } => {
                Principal::new(&IAM, server, "the access key of the configuration")
                    .distinguished_by(Fingerprint::of(id))
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
    pub(crate) fn provider(self, shared: &SharedResources, region: &str) -> Arc<Provider> {
        match self {
            Self::Keys { id, secret, token } => {
                let session_token = token.as_ref().map(Secret::expose);
                let (key, secret_key) = (id.expose(), secret.expose());
                let identity =
                    Secret::formatted(format_args!("{key}\0{secret_key}\0{session_token:?}"));
                shared.get_or_insert(&identity, || {
                    let session_token = session_token.map(str::to_owned);
                    let credentials =
                        Credentials::new(key, secret_key, session_token, None, "configuration");
                    let secrets = (id.clone(), secret.clone(), token.clone());
                    Provider::Static { credentials, _secrets: secrets }
                })
            }
            Self::Chain { profile } => {
                // Credentials are valid in all regions, so the region is not part of the identity.
                let name = profile.as_deref().unwrap_or_default();
                let identity = Secret::unmasked(format!("profile={name}"));
                // The TLS settings are those of the endpoint, not of the servers that issue credentials.
                let client_pool = ClientPool::shared(shared, &net::TlsSettings::default());
                let region = Region::new(region.to_owned());
                shared.get_or_insert(&identity, || {
                    let chain = DefaultChain { profile, region, client_pool };
                    Provider::Chain(CachedConnection::new(chain, Reconnect::NEVER))
                })
            }
        }
    }
}

/// Reports an error for each key without its counterpart, and for a profile in addition to keys.
fn validate_combination(fields: &mut Fields<'_>) -> bool {
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
    is_valid
}

/// Reports an error unless the value can be a part of a header.
fn validate_value(fields: &mut Fields<'_>, key: &'static str, value: Option<&Secret>) -> bool {
    let is_valid = value
        .map(Secret::expose)
        .is_none_or(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic()));
    if !is_valid {
        fields.error(key, "expected visible ASCII characters without spaces");
    }
    is_valid
}
