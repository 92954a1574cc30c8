//! A session: one Vault, one login and one connection, shared by all users with equal settings.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use probe::config::Fields;
use probe::{Failure, Fingerprint, Reconnect, SharedResources, Steps};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{ApiClient, with_background_timeout};
use crate::health::Health;
use crate::kv::Mounts;
use crate::login::Login;
use crate::settings::Settings;
use crate::shared_reads::{SharedReads, Values};
use crate::stale_secrets::StaleSecrets;
use crate::token::TokenState;
use crate::token_manager::TokenManager;
use crate::{kv, renewer};

/// A session with one Vault.
///
/// It logs in on first use and from then on renews its token in the background.
/// When the last reference is dropped, a token that was obtained by a login is revoked.
#[derive(Debug)]
pub struct Session {
    tokens: Arc<TokenManager>,
    identity: Fingerprint,
    mounts: Mounts,
    reads: SharedReads,
    stale_secrets: StaleSecrets,
    renewer: Mutex<Option<JoinHandle<()>>>,
    /// Dropped with the session, which stops the renewer.
    dropped: watch::Sender<()>,
}

impl Session {
    /// Reads the settings of a session and returns the equal session in `shared`, or creates it there without any I/O. Returns `None` if a setting is wrong, which is reported in `fields`, or not known yet.
    ///
    /// * `url`, `http` or `https`; for `https` also the settings of TLS.
    /// * `vault_namespace`, the Vault namespace of all requests except `sys/health`.
    /// * `login`: `token` (the default) with `token`; `approle` with `role_id` and `secret_id`; `kubernetes` with `role` and `jwt_file`.
    /// * `mount`, the path of the auth method if it is not mounted under its own name.
    pub fn read_settings(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Arc<Self>> {
        let settings = Settings::read(fields)?;
        let identity = settings.identity.clone();
        Some(shared.get_or_insert(&identity, || Self::new(settings)))
    }

    /// The target, as `host:port`.
    pub fn target(&self) -> &str {
        self.tokens.api.target()
    }

    /// Reads the secret at `path` of a key-value store, version 1 or 2, for instance `secret/production/health`. Values that are not strings are returned as JSON.
    ///
    /// Returns the result of the last read if that began at `since` or later: namespaces that refer to the same secret share one read.
    /// Times out after 5 seconds, since secrets are read in the background, without the timeout of a check.
    /// A failure is remembered for [`Session::stale_secrets`].
    pub async fn read(&self, steps: &Steps, path: &str, since: Instant) -> Result<Values, Failure> {
        self.ensure_renewer();
        steps.begin(kv::STEP);
        let read = async {
            let read = kv::read(&self.tokens, &self.mounts, steps, path);
            let secret = with_background_timeout(steps, read).await;
            self.stale_secrets.record(path, &secret);
            secret
        };
        Box::pin(self.reads.get(path, since, read)).await
    }

    /// Verifies that the secret at `path` can be read, without returning it.
    pub async fn verify_readable(&self, steps: &Steps, path: &str) -> Result<(), Failure> {
        self.ensure_renewer();
        kv::read(&self.tokens, &self.mounts, steps, path).await.map(drop)
    }

    /// Describes those of the secrets at `paths` that [`Session::read`] returned before and can no longer read.
    pub fn stale_secrets(&self, paths: &BTreeSet<String>) -> Vec<String> {
        self.stale_secrets.describe(paths)
    }

    /// Requests the health of the server.
    pub async fn health(&self, steps: &Steps) -> Result<Health, Failure> {
        const STEP: &str = "health";
        Health::parse(STEP, &self.tokens.api.health(steps, STEP).await?)
    }

    /// Looks up the session's token. Logs in first if there is no token or Vault has lost it.
    ///
    /// The token needs Vault's policy `default`, or another one that allows it to read `auth/token/lookup-self` and to update `auth/token/renew-self`.
    pub async fn lookup_self(&self, steps: &Steps) -> Result<TokenState, Failure> {
        self.ensure_renewer();
        self.tokens.lookup_self(steps).await
    }

    /// Logs in again if the last login is older than the period of `reconnect`, since a token stays valid while its login is refused. The new token replaces the old one.
    pub async fn prove_login(&self, steps: &Steps, reconnect: Reconnect) -> Result<(), Failure> {
        self.tokens.prove_login(steps, reconnect).await
    }

    /// Revokes a token that was obtained by a login, within 5 seconds. Best effort.
    ///
    /// Call it before the process exits, which does not wait for the revocation that a drop starts.
    pub async fn close(&self) {
        renewer::revoke(&self.tokens).await;
    }

    fn new(settings: Settings) -> Self {
        let api = ApiClient::new(&settings.url, settings.tls, settings.namespace);
        let tokens = Arc::new(TokenManager::new(api, settings.login));
        let (mounts, reads, stale_secrets, renewer) = Default::default();
        let (identity, dropped) = (Fingerprint::of(&settings.identity), watch::Sender::new(()));
        Self { tokens, identity, mounts, reads, stale_secrets, renewer, dropped }
    }

    /// The settings that distinguish this session from others.
    pub(crate) fn identity(&self) -> Fingerprint {
        self.identity
    }

    /// The Vault namespace; empty if none is configured.
    pub(crate) fn namespace(&self) -> &str {
        self.tokens.api.namespace()
    }

    pub(crate) fn login(&self) -> &Login {
        &self.tokens.login
    }

    /// Starts the renewer on first use, since a session is built without a runtime.
    fn ensure_renewer(&self) {
        let mut renewer = self.renewer.lock();
        if renewer.as_ref().is_none_or(JoinHandle::is_finished) {
            let task = renewer::run(self.tokens.clone(), self.dropped.subscribe());
            *renewer = Some(tokio::spawn(task));
        }
    }
}
