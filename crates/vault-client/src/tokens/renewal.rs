//! How a token is kept alive, and how it is given back.

use std::time::Instant;

use http::HeaderValue;
use probe::{Failure, Steps};
use serde_json::json;

use super::Tokens;
use crate::token::{Lease, Token};

impl Tokens {
    /// Prolongs the token, or replaces it where it cannot be prolonged; for a given token that nobody has looked up, looks it up.
    pub(crate) async fn care(&self, steps: &Steps) -> Result<(), Failure> {
        let Some(token) = self.current() else { return Ok(()) };
        let done = match token.lease {
            None => self.look_up(steps).await.map(|_| ()),
            Some(lease) if lease.renewable => self.renew(steps, &token, lease).await,
            Some(_) => self.replace(steps, &token).await,
        };
        self.state().trouble = done.as_ref().err().cloned();
        done
    }

    /// When [`Tokens::care`] is due, if ever.
    pub(crate) fn care_due(&self) -> Option<Instant> {
        self.current()?.care_due()
    }

    /// Gives back a token that a login gave us, so that it does not linger until it expires.
    pub(crate) async fn revoke(&self, steps: &Steps) -> Result<(), Failure> {
        let token = self.state().token.take();
        match token.filter(|token| token.by_login && !token.is_expired()) {
            Some(token) => self.revoke_token(steps, &token.header).await,
            None => Ok(()),
        }
    }

    async fn revoke_token(&self, steps: &Steps, token: &HeaderValue) -> Result<(), Failure> {
        const STEP: &str = "revoke";
        let path = "auth/token/revoke-self";
        let answer = self.api.call(steps, STEP, path, Some(token), Some(&json!({}))).await?;
        answer.success(STEP).map(|_| ())
    }

    async fn renew(&self, steps: &Steps, token: &Token, lease: Lease) -> Result<(), Failure> {
        const STEP: &str = "renew";
        let path = "auth/token/renew-self";
        let header = Some(&token.header);
        let asked = Instant::now();
        let answer = self.api.call(steps, STEP, path, header, Some(&json!({}))).await?;
        if token.by_login && answer.status.is_client_error() {
            return self.replace(steps, token).await;
        }
        let answer = answer.success(STEP)?;
        let renewed = Lease::from_auth(&answer.body["auth"], asked);
        // Vault grants less and less as the token comes near its maximum lifetime.
        let full = renewed.expires.is_none() || renewed.whole >= lease.whole / 2;
        if !full && token.by_login {
            return self.replace(steps, token).await;
        }
        let renewed = Lease { whole: lease.whole, renewable: full, ..renewed };
        if let Some(current) = &mut self.state().token
            && current.header == token.header
        {
            current.lease = Some(renewed);
        }
        if full { Ok(()) } else { Err(Failure::msg(STEP, "it reaches its maximum lifetime")) }
    }

    /// A new token by a new login; the old one is given back.
    async fn replace(&self, steps: &Steps, old: &Token) -> Result<(), Failure> {
        self.log_in(steps, Some(old)).await?;
        if let Err(failure) = self.revoke_token(steps, &old.header).await {
            // It expires by itself, and may have done so already.
            tracing::debug!(
                "a replaced token stays until it expires: {}",
                failure.render(self.api.target())
            );
        }
        Ok(())
    }
}
