//! The check: two questions on one connection.

use std::sync::Arc;

use probe::{Check, Failure, Steps};
use vault_client::Session;

use crate::judge::Rules;

/// One Vault, and our token for it.
pub(crate) struct Vault {
    session: Arc<Session>,
    rules: Rules,
}

impl Vault {
    pub(crate) fn new(session: Arc<Session>, rules: Rules) -> Self {
        Self { session, rules }
    }
}

impl Check for Vault {
    fn target(&self) -> &str {
        self.session.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let health = self.session.health(steps).await?;
        self.rules.server(health).map_err(|reason| Failure::msg("health", reason))?;
        let token = self.session.lookup_self(steps).await?;
        self.rules.token(&token).map_err(|reason| Failure::msg("lookup", reason))
    }
}
