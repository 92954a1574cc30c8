//! The session's own token: obtained when it is needed, replaced when Vault refuses it, prolonged before it expires.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode};
use probe::{Failure, Steps};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::api::{Answer, Api};
use crate::login::Login;
use crate::token::{Lease, Token, TokenState};

/// How long a refusal is taken at its word after a new login did not help against one.
const FRUITLESS: Duration = Duration::from_mins(1);

const EXPIRED: &str = "the token expired";
/// Vault's answer is the same for all three.
const REFUSED: &str = "the token is invalid, was revoked, or may not look itself up";

/// The token and everything that is done with it.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) api: Api,
    login: Login,
    state: Mutex<State>,
    /// One login at a time.
    turn: tokio::sync::Mutex<()>,
    /// Wakes the keeper when there is a token to care for.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Why the token could not be kept alive.
    trouble: Option<Failure>,
    /// The logins that came to an end, and how the last one failed if it did.
    logins: u64,
    login_failed: Option<Failure>,
    /// When a new login last did not help against a refusal.
    fruitless: Option<Instant>,
}

impl Tokens {
    pub(crate) fn new(api: Api, login: Login) -> Self {
        let (state, turn, changed) = Default::default();
        Self { api, login, state, turn, changed }
    }

    /// A request with the token. A token that Vault does not know any more is replaced by a new login, once.
    pub(crate) async fn call(
        &self,
        steps: &Steps,
        step: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let token = self.token(steps).await?;
        let answer = self.api.call(steps, step, path, Some(&token.header), body).await?;
        if answer.status != StatusCode::FORBIDDEN {
            return Ok(answer);
        }
        let Some(token) = self.replacement(steps, step, &token).await? else {
            return Ok(answer);
        };
        let answer = self.api.call(steps, step, path, Some(&token.header), body).await?;
        if answer.status == StatusCode::FORBIDDEN {
            self.state().fruitless = Some(Instant::now());
        }
        Ok(answer)
    }

    /// What Vault knows about the token.
    pub(crate) async fn look_up(&self, steps: &Steps) -> Result<TokenState, Failure> {
        const STEP: &str = "lookup";
        let answer = self.call(steps, STEP, "auth/token/lookup-self", None).await?;
        if answer.status == StatusCode::FORBIDDEN {
            let expired = self.current().is_some_and(|token| token.is_expired());
            let reason = if expired { EXPIRED } else { REFUSED };
            return Err(Failure::because(STEP, reason));
        }
        let answer = answer.success(STEP)?;
        let data = &answer.body["data"];
        if !data["ttl"].is_u64() {
            return Err(Failure::because(STEP, answer.reason()));
        }
        let seen = Lease::from_lookup(data);
        let mut state = self.state();
        let Some(token) = &mut state.token else {
            return Err(Failure::because(STEP, "the session is closed"));
        };
        let first = token.lease.is_none();
        let lease = token.lease.map_or(seen, |known| known.confirmed_by(seen));
        token.lease = Some(lease);
        let kept_alive = token.is_kept_alive();
        if first {
            state.trouble = None;
            self.changed.notify_one();
        }
        let trouble = state.trouble.clone();
        let ttl = lease.expires.map(|expires| expires.saturating_duration_since(Instant::now()));
        Ok(TokenState { ttl, creation_ttl: lease.whole, kept_alive, trouble })
    }

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
        let answer = self.api.call(steps, STEP, path, header, Some(&json!({}))).await?;
        if token.by_login && answer.status.is_client_error() {
            return self.replace(steps, token).await;
        }
        let answer = answer.success(STEP)?;
        let renewed = Lease::from_auth(&answer.body["auth"]);
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
        if full { Ok(()) } else { Err(Failure::because(STEP, "it reaches its maximum lifetime")) }
    }

    /// A new token by a new login; the old one is given back.
    async fn replace(&self, steps: &Steps, old: &Token) -> Result<(), Failure> {
        self.log_in(steps).await?;
        if let Err(failure) = self.revoke_token(steps, &old.header).await {
            // It expires by itself, and may have done so already.
            tracing::debug!(
                "a replaced token stays until it expires: {}",
                failure.line(self.api.target())
            );
        }
        Ok(())
    }

    /// What to use in place of a token that Vault refused, if it was the token and not what was asked with it.
    async fn replacement(
        &self,
        steps: &Steps,
        step: &'static str,
        refused: &Token,
    ) -> Result<Option<Token>, Failure> {
        match self.current() {
            Some(current) if current.header != refused.header => return Ok(Some(current)),
            _ if !refused.by_login => return Ok(None),
            _ => {}
        }
        let lately = |at: Instant| at.elapsed() < FRUITLESS;
        if self.state().fruitless.is_some_and(lately) {
            return Ok(None);
        }
        let path = "auth/token/lookup-self";
        let answer = self.api.call(steps, step, path, Some(&refused.header), None).await?;
        if answer.status == StatusCode::FORBIDDEN {
            return self.log_in(steps).await.map(Some);
        }
        Ok(None)
    }

    /// The current token, or a new one.
    async fn token(&self, steps: &Steps) -> Result<Token, Failure> {
        match self.current() {
            Some(token) if !(token.by_login && token.is_expired()) => Ok(token),
            _ => self.log_in(steps).await,
        }
    }

    async fn log_in(&self, steps: &Steps) -> Result<Token, Failure> {
        steps.begin("login");
        let seen = self.state().logins;
        let _turn = self.turn.lock().await;
        {
            // Whoever waited for somebody else's attempt takes its outcome.
            let state = self.state();
            match (&state.token, &state.login_failed) {
                _ if state.logins == seen => {}
                (_, Some(failure)) => return Err(failure.clone()),
                (Some(token), None) => return Ok(token.clone()),
                (None, None) => {}
            }
        }
        let outcome = self.login.log_in(&self.api, steps).await;
        let mut state = self.state();
        state.logins += 1;
        state.login_failed = outcome.as_ref().err().cloned();
        if let Ok(token) = &outcome {
            state.token = Some(token.clone());
            state.trouble = None;
            self.changed.notify_one();
        }
        outcome
    }

    fn current(&self) -> Option<Token> {
        self.state().token.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
