//! A session: one Vault, one login, one connection, shared by everybody who means the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use probe::config::Fields;
use probe::{Failure, Secret, SharedResources, Steps};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::{Api, bounded};
use crate::health::Health;
use crate::kv::Mounts;
use crate::login::Login;
use crate::settings::Settings;
use crate::token::TokenState;
use crate::tokens::Tokens;
use crate::{keeper, kv};

/// A session with one Vault.
///
/// It logs in when it is first used, and from then on keeps its token alive in the background.
/// When its last user drops it, the token is revoked if a login gave it to us.
#[derive(Debug)]
pub struct Session {
    tokens: Arc<Tokens>,
    identity: Secret,
    mounts: Mounts,
    keeper: Mutex<Option<JoinHandle<()>>>,
    users: watch::Sender<()>,
}

impl Session {
    /// Reads the settings of a session and finds it among `shared`, or begins it there, without any I/O; `None` when a mistake was noted or a value is not known yet.
    ///
    /// * `url`, `http` or `https`; for the latter `ca`, `certificate` and `private_key`.
    /// * `vault_namespace`, in which everything below stands.
    /// * `login`: `token` (the default) with `token`; `approle` with `role_id` and `secret_id`; `kubernetes` with `role` and `jwt_file`.
    /// * `mount`, where the auth method is found if not under its own name.
    pub fn read_settings(fields: &mut Fields<'_>, shared: &SharedResources) -> Option<Arc<Self>> {
        let settings = Settings::read(fields)?;
        let identity = settings.identity.clone();
        Some(shared.get_or_insert(&identity, || Self::new(settings)))
    }

    fn new(settings: Settings) -> Self {
        let api = Api::new(&settings.url, settings.tls, settings.namespace);
        let tokens = Arc::new(Tokens::new(api, settings.login));
        let (mounts, keeper) = Default::default();
        let (identity, users) = (settings.identity, watch::Sender::new(()));
        Self { tokens, identity, mounts, keeper, users }
    }

    /// What distinguishes it from other sessions.
    pub(crate) fn identity(&self) -> &Secret {
        &self.identity
    }

    /// The Vault namespace in which everything stands; empty if there is none.
    pub(crate) fn namespace(&self) -> &str {
        self.tokens.api.namespace()
    }

    pub(crate) fn login(&self) -> &Login {
        &self.tokens.login
    }

    /// `host:port`.
    pub fn target(&self) -> &str {
        self.tokens.api.target()
    }

    /// The secret at `path` of a key-value store, version 1 or 2, for instance `secret/production/health`: every key with its value, and those that are not strings as JSON.
    ///
    /// Secrets are read in the background, so that this takes 5 seconds at most.
    pub async fn read(
        &self,
        steps: &Steps,
        path: &str,
    ) -> Result<BTreeMap<String, Secret>, Failure> {
        self.start_keeper();
        bounded(steps, kv::read(&self.tokens, &self.mounts, steps, path)).await
    }

    /// The state of the server.
    pub async fn health(&self, steps: &Steps) -> Result<Health, Failure> {
        const STEP: &str = "health";
        Health::read(STEP, &self.tokens.api.health(steps, STEP).await?)
    }

    /// What Vault knows about our token, after a login if there is none or Vault does not know it any more.
    ///
    /// A token needs Vault's policy `default`, or another that lets it read `auth/token/lookup-self` (and update `auth/token/renew-self`).
    pub async fn lookup_self(&self, steps: &Steps) -> Result<TokenState, Failure> {
        self.start_keeper();
        self.tokens.look_up(steps).await
    }

    /// Revokes the token if a login gave it to us, within 5 seconds, as well as that goes: for the end of the process, which does not wait for what dropping begins.
    pub async fn close(&self) {
        keeper::give_back(&self.tokens).await;
    }

    /// Building must not need a runtime, so that the keeper starts with the first use.
    fn start_keeper(&self) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.as_ref().is_none_or(JoinHandle::is_finished) {
            *keeper = Some(tokio::spawn(keeper::keep(self.tokens.clone(), self.users.subscribe())));
        }
    }
}
