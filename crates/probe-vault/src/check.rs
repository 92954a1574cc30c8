//! The check: server health, then a lookup of the token.

use std::sync::Arc;
use std::time::SystemTime;

use probe::{Check, Failure, Observation, Steps};
use vault_client::Session;

use crate::rules::Rules;

pub(crate) struct VaultCheck {
    session: Arc<Session>,
    rules: Rules,
}

impl VaultCheck {
    pub(crate) fn new(session: Arc<Session>, rules: Rules) -> Self {
        Self { session, rules }
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
        self.rules.check_token(&token).map_err(|reason| Failure::msg("lookup", reason))
    }
}
