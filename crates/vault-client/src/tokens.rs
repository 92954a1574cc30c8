//! The session's own token: obtained when it is needed, replaced when Vault refuses it, prolonged before it expires.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use probe::{Failure, Steps};
use tokio::sync::Notify;

use crate::api::{Answer, Api};
use crate::login::Login;
use crate::token::{Lease, Token, TokenState};

mod renewal;

/// How long a refusal is taken at its word after a new login did not help against one.
const FRUITLESS: Duration = Duration::from_mins(1);

const LOOKUP: &str = "auth/token/lookup-self";

const EXPIRED: &str = "the token expired";
/// Vault's answer is the same for all three.
const REFUSED: &str = "the token is invalid, was revoked, or may not look itself up";

/// The token and everything that is done with it.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) api: Api,
    pub(crate) login: Login,
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

    /// A question with the token. A token that Vault does not know any more is replaced by a new login, once.
    pub(crate) async fn ask(
        &self,
        steps: &Steps,
        step: &'static str,
        path: &str,
    ) -> Result<Answer, Failure> {
        let token = self.token(steps).await?;
        self.ask_with(token, steps, step, path).await.map(|(answer, _)| answer)
    }

    /// What Vault knows about the token.
    pub(crate) async fn look_up(&self, steps: &Steps) -> Result<TokenState, Failure> {
        const STEP: &str = "lookup";
        let token = self.token(steps).await?;
        let asked = Instant::now();
        let (answer, used) = self.ask_with(token, steps, STEP, LOOKUP).await?;
        if answer.status == StatusCode::FORBIDDEN {
            let expired = self.current().is_some_and(|token| token.is_expired());
            let reason = if expired { EXPIRED } else { REFUSED };
            return Err(Failure::msg(STEP, reason));
        }
        let answer = answer.success(STEP)?;
        let data = &answer.body["data"];
        if !data["ttl"].is_u64() {
            return Err(Failure::msg(STEP, answer.reason()));
        }
        let seen = Lease::from_lookup(data, asked);
        let mut state = self.state();
        let Some(token) = &mut state.token else {
            return Err(Failure::msg(STEP, "the session is closed"));
        };
        let first = token.lease.is_none();
        let lease = match token.lease {
            None => seen,
            // It was replaced meanwhile, and what was seen is the one before.
            Some(known) if token.header != used.header => known,
            Some(known) => known.confirmed_by(seen),
        };
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

    /// The answer, and the token that it belongs to: `token`, or what it was replaced by.
    async fn ask_with(
        &self,
        token: Token,
        steps: &Steps,
        step: &'static str,
        path: &str,
    ) -> Result<(Answer, Token), Failure> {
        let answer = self.api.call(steps, step, path, Some(&token.header), None).await?;
        if answer.status != StatusCode::FORBIDDEN {
            return Ok((answer, token));
        }
        let Some(token) = self.replacement(steps, step, &token).await? else {
            return Ok((answer, token));
        };
        let answer = self.api.call(steps, step, path, Some(&token.header), None).await?;
        if answer.status == StatusCode::FORBIDDEN {
            self.state().fruitless = Some(Instant::now());
        }
        Ok((answer, token))
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
        let answer = self.api.call(steps, step, LOOKUP, Some(&refused.header), None).await?;
        if answer.status == StatusCode::FORBIDDEN {
            return self.log_in(steps, Some(refused)).await.map(Some);
        }
        Ok(None)
    }

    /// The current token, or a new one.
    async fn token(&self, steps: &Steps) -> Result<Token, Failure> {
        match self.current().filter(Token::is_usable) {
            Some(token) => Ok(token),
            None => self.log_in(steps, None).await,
        }
    }

    /// A token by a new login, unless there is one meanwhile that is not the `old` one.
    async fn log_in(&self, steps: &Steps, old: Option<&Token>) -> Result<Token, Failure> {
        steps.begin("login");
        let seen = self.state().logins;
        let _turn = self.turn.lock().await;
        let other = |token: &Token| old.is_none_or(|old| old.header != token.header);
        if let Some(token) = self.current().filter(Token::is_usable).filter(other) {
            return Ok(token);
        }
        {
            // Whoever waited for an attempt that failed takes its failure.
            let state = self.state();
            if let Some(failure) = state.login_failed.as_ref().filter(|_| state.logins != seen) {
                return Err(failure.clone());
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
