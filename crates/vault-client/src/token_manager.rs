//! The session's token: obtained on first use, replaced when Vault rejects it, renewed before it expires.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;
use probe::{Failure, LoginBackoff, Steps};
use tokio::sync::Notify;

use crate::api::{ApiClient, ApiResponse, run_to_its_end};
use crate::login::Login;
use crate::token::{Lease, Token, TokenState};

mod renewal;

/// If a new token gets a 403 response as well, further ones cause no login for this long.
const RELOGIN_BACKOFF: Duration = Duration::from_mins(1);

const LOOKUP_PATH: &str = "auth/token/lookup-self";

const EXPIRED: &str = "the token expired";
// Vault's response is the same in all three cases.
const REFUSED: &str = "the token is invalid, was revoked, or may not look itself up";

/// Holds the token and makes all requests that need one.
#[derive(Debug)]
pub(crate) struct TokenManager {
    pub(crate) api: ApiClient,
    pub(crate) login: Login,
    logins: LoginBackoff,
    state: Mutex<State>,
    /// Held during a login, so that concurrent callers share one, and until the replaced token is revoked.
    login_lock: Arc<tokio::sync::Mutex<()>>,
    /// Wakes the renewer when there is a new token or a new lease.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Why the last renewal failed.
    last_error: Option<Failure>,
    /// The number of completed logins, and the error of the last one if it failed.
    login_count: u64,
    login_error: Option<Failure>,
    relogin_backoff_until: Option<Instant>,
    /// When the last successful login was, and how many there were.
    logged_in_at: Option<Instant>,
    successful_logins: u64,
}

impl TokenManager {
    pub(crate) fn new(api: ApiClient, login: Login) -> Self {
        let (logins, state, login_lock, changed) = Default::default();
        Self { api, login, logins, state, login_lock, changed }
    }

    /// Sends a `GET` request with the token. A token that Vault has lost is replaced by a new login, once.
    pub(crate) async fn get(
        self: &Arc<Self>,
        steps: &Steps,
        step: &'static str,
        path: &str,
    ) -> Result<ApiResponse, Failure> {
        let token = self.token(steps).await?;
        self.get_with(token, steps, step, path).await.map(|(response, _)| response)
    }

    /// Looks up the token itself.
    pub(crate) async fn lookup_self(
        self: &Arc<Self>,
        steps: &Steps,
    ) -> Result<TokenState, Failure> {
        const STEP: &str = "lookup";
        let token = self.token(steps).await?;
        let requested_at = Instant::now();
        let (response, used) = self.get_with(token, steps, STEP, LOOKUP_PATH).await?;
        if response.status == StatusCode::FORBIDDEN {
            let expired = self.current().is_some_and(|token| token.is_expired());
            return Err(Failure::msg(STEP, if expired { EXPIRED } else { REFUSED }));
        }
        let response = response.into_success(STEP)?;
        let data = &response.body["data"];
        if !data["ttl"].is_u64() {
            return Err(Failure::msg(STEP, response.error_text()));
        }
        self.record_lookup(&used, Lease::from_lookup(data, requested_at))
            .ok_or_else(|| Failure::msg(STEP, "the session is closed"))
    }

    /// Stores the lease that a lookup of the token `used` returned. Returns `None` if the token has been revoked.
    fn record_lookup(&self, used: &Token, seen: Lease) -> Option<TokenState> {
        let mut state = self.state.lock();
        let token = state.token.as_mut()?;
        let is_first = token.lease.is_none();
        let lease = match token.lease {
            None => seen,
            // The token was replaced in the meantime: `seen` is the lease of the previous one.
            Some(known) if token.header != used.header => known,
            Some(known) => known.confirmed_by(seen),
        };
        token.lease = Some(lease);
        let auto_renewed = token.is_auto_renewed();
        if is_first {
            state.last_error = None;
            self.changed.notify_one();
        }
        let last_error = state.last_error.clone();
        let ttl = lease.expires.map(|expires| expires.saturating_duration_since(Instant::now()));
        Some(TokenState { ttl, creation_ttl: lease.duration, auto_renewed, last_error })
    }

    /// Returns the response and the token that it belongs to: `token` or its replacement.
    async fn get_with(
        self: &Arc<Self>,
        token: Token,
        steps: &Steps,
        step: &'static str,
        path: &str,
    ) -> Result<(ApiResponse, Token), Failure> {
        let response = self.api.call(steps, step, path, Some(&token.header), None).await?;
        if response.status != StatusCode::FORBIDDEN {
            return Ok((response, token));
        }
        let Some(token) = self.replacement(steps, step, &token).await? else {
            return Ok((response, token));
        };
        let response = self.api.call(steps, step, path, Some(&token.header), None).await?;
        if response.status == StatusCode::FORBIDDEN {
            self.state.lock().relogin_backoff_until = Some(Instant::now() + RELOGIN_BACKOFF);
        }
        Ok((response, token))
    }

    /// Returns a replacement for a token that got a 403 response, if Vault rejects the token itself rather than the request.
    async fn replacement(
        self: &Arc<Self>,
        steps: &Steps,
        step: &'static str,
        rejected: &Token,
    ) -> Result<Option<Token>, Failure> {
        match self.current() {
            Some(current) if current.header != rejected.header => return Ok(Some(current)),
            _ if !rejected.by_login => return Ok(None),
            _ => {}
        }
        if self.state.lock().relogin_backoff_until.is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        let lookup = self.api.call(steps, step, LOOKUP_PATH, Some(&rejected.header), None).await?;
        if lookup.status == StatusCode::FORBIDDEN {
            return self.log_in(steps, Some(rejected)).await.map(Some);
        }
        Ok(None)
    }

    /// Returns the current token, or logs in.
    async fn token(self: &Arc<Self>, steps: &Steps) -> Result<Token, Failure> {
        match self.current().filter(Token::is_usable) {
            Some(token) => Ok(token),
            None => self.log_in(steps, None).await,
        }
    }

    /// Logs in and revokes `old`, unless a concurrent login has already replaced it.
    ///
    /// If the caller is cancelled, the login and the revocation continue, so that no token is left behind.
    async fn log_in(
        self: &Arc<Self>,
        steps: &Steps,
        old: Option<&Token>,
    ) -> Result<Token, Failure> {
        const STEP: &str = "login";
        steps.begin(STEP);
        let count_before = self.state.lock().login_count;
        let guard = self.login_lock.clone().lock_owned().await;
        let is_new = |token: &Token| old.is_none_or(|old| old.header != token.header);
        if let Some(token) = self.current().filter(Token::is_usable).filter(is_new) {
            return Ok(token);
        }
        if let Some(failure) = self.login_error_since(count_before) {
            return Err(failure);
        }
        let (this, old) = (self.clone(), old.cloned());
        run_to_its_end(steps, STEP, |steps| async move {
            let _guard = guard;
            let token = this.replace_token(&steps).await?;
            if let Some(old) = old.filter(Token::needs_revocation) {
                this.revoke_replaced(&steps, &old).await;
            }
            Ok(token)
        })
        .await
    }

    /// Logs in and stores the new token.
    async fn replace_token(&self, steps: &Steps) -> Result<Token, Failure> {
        let result = self.login.log_in(&self.api, &self.logins, steps).await;
        let mut state = self.state.lock();
        state.login_count += 1;
        state.login_error = result.as_ref().err().cloned();
        if let Ok(token) = &result {
            state.token = Some(token.clone());
            state.last_error = None;
            state.logged_in_at = Some(Instant::now());
            state.successful_logins += 1;
            self.changed.notify_one();
        }
        result
    }

    /// The error of a login that failed while this caller waited for the lock. All waiting callers share it.
    fn login_error_since(&self, count_before: u64) -> Option<Failure> {
        let state = self.state.lock();
        if state.login_count == count_before { None } else { state.login_error.clone() }
    }

    fn current(&self) -> Option<Token> {
        self.state.lock().token.clone()
    }
}
