//! Renewal and revocation of the session's token.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use probe::{Failure, Reconnect, Steps};
use serde_json::json;

use super::TokenManager;
use crate::token::{Lease, Token};

impl TokenManager {
    /// Renews the token, or replaces it if it is not renewable. A configured token without a known lease is looked up first.
    pub(crate) async fn renew(self: &Arc<Self>, steps: &Steps) -> Result<(), Failure> {
        let Some(token) = self.current() else { return Ok(()) };
        let result = match token.lease {
            None => self.lookup_self(steps).await.map(|_| ()),
            Some(lease) if lease.renewable => self.renew_self(steps, &token, lease).await,
            Some(_) => self.log_in(steps, Some(&token)).await.map(drop),
        };
        self.state.lock().last_error = result.as_ref().err().cloned();
        result
    }

    /// Logs in and replaces the token, unless the last login is more recent than the period of `reconnect`. A configured token needs no login.
    pub(crate) async fn prove_login(
        self: &Arc<Self>,
        steps: &Steps,
        reconnect: Reconnect,
    ) -> Result<(), Failure> {
        let Some(token) = self.current().filter(|token| token.by_login) else { return Ok(()) };
        let (last, count) = {
            let state = self.state.lock();
            (state.logged_in_at, state.successful_logins)
        };
        // The first one is repeated earlier, so that processes that started together do not log in together.
        let period = if count > 1 { reconnect.period() } else { reconnect.first_period() };
        match (last, period) {
            (Some(last), Some(period)) if last.elapsed() >= period => {
                self.log_in(steps, Some(&token)).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// When [`TokenManager::renew`] is due, if ever.
    pub(crate) fn renewal_due(&self) -> Option<Instant> {
        self.current()?.renewal_due()
    }

    /// Revokes a token that was obtained by a login, so that it does not linger until it expires.
    pub(crate) async fn revoke(&self, steps: &Steps) -> Result<(), Failure> {
        // A login that outlives its caller stores its token first.
        let _guard = self.login_lock.lock().await;
        let token = self.state.lock().token.take();
        match token.filter(Token::needs_revocation) {
            Some(token) => self.revoke_self(steps, &token.header).await,
            None => Ok(()),
        }
    }

    async fn revoke_self(&self, steps: &Steps, token: &HeaderValue) -> Result<(), Failure> {
        const STEP: &str = "revoke";
        let path = "auth/token/revoke-self";
        let response = self.api.call(steps, STEP, path, Some(token), Some(&json!({}))).await?;
        response.into_success(STEP).map(|_| ())
    }

    async fn renew_self(
        self: &Arc<Self>,
        steps: &Steps,
        token: &Token,
        lease: Lease,
    ) -> Result<(), Failure> {
        const STEP: &str = "renew";
        let path = "auth/token/renew-self";
        let header = Some(&token.header);
        let requested_at = Instant::now();
        let response = self.api.call(steps, STEP, path, header, Some(&json!({}))).await?;
        if token.by_login && response.status.is_client_error() {
            return self.log_in(steps, Some(token)).await.map(drop);
        }
        let response = response.into_success(STEP)?;
        let renewed = Lease::from_auth(&response.body["auth"], requested_at);
        // Near the token's maximum lifetime, Vault grants ever shorter leases.
        let is_full = renewed.expires.is_none() || renewed.duration >= lease.duration / 2;
        if !is_full && token.by_login {
            return self.log_in(steps, Some(token)).await.map(drop);
        }
        let renewed = Lease { duration: lease.duration, renewable: is_full, ..renewed };
        if let Some(current) = &mut self.state.lock().token
            && current.header == token.header
        {
            current.lease = Some(renewed);
        }
        if is_full {
            Ok(())
        } else {
            Err(Failure::msg(STEP, "the token reaches its maximum lifetime"))
        }
    }

    /// Revokes a token that was replaced. Best effort.
    pub(super) async fn revoke_replaced(&self, steps: &Steps, old: &Token) {
        if let Err(failure) = self.revoke_self(steps, &old.header).await {
            // The old token expires by itself and may already have done so.
            let error = failure.render(self.api.target());
            tracing::debug!(error, "revocation of replaced vault token failed");
        }
    }
}
