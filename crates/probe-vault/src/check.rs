//! The check: server health, a lookup of the token, and reads of the secrets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use probe::{Check, Failure, Grant, Observation, Reconnect, Steps};
use vault_client::Session;

use crate::rules::Rules;

pub(crate) struct VaultCheck {
    session: Arc<Session>,
    rules: Rules,
    /// The secrets that must be readable.
    paths: Vec<String>,
    /// The secrets that the file of this check refers to. Files with equal settings share the session.
    references: BTreeSet<String>,
    /// How long a login is trusted.
    reconnect: Reconnect,
}

impl VaultCheck {
    pub(crate) fn new(
        session: Arc<Session>,
        rules: Rules,
        paths: Vec<String>,
        references: BTreeSet<String>,
        reconnect: Reconnect,
    ) -> Self {
        Self { session, rules, paths, references, reconnect }
    }
}

impl Check for VaultCheck {
    fn target(&self) -> &str {
        self.session.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let health = self.session.health(steps).await?;
        self.rules.check_health(health).map_err(|reason| Failure::msg("health", reason))?;
        let token = self.session.lookup_self(steps).await?;
        if let Some(expiry) = token.ttl.and_then(|ttl| SystemTime::now().checked_add(ttl)) {
            steps.observe(Observation::VaultTokenExpiry(expiry));
        }
        self.rules.check_token(&token).map_err(|reason| Failure::msg("lookup", reason))?;
        self.session.prove_login(steps, self.reconnect).await?;
        let stale = self.session.stale_secrets(&self.references);
        if !stale.is_empty() {
            return Err(Failure::msg("read secret", stale.join("; ")));
        }
        for path in &self.paths {
            self.session.verify_readable(steps, path).await?;
        }
        Ok(())
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(self.session.grants(&self.paths))
    }
}
