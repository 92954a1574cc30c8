//! A call's context, which a task-local carries through the SDK to the HTTP client.

use std::sync::{Arc, OnceLock};

use aws_credential_types::Credentials;
use http_client::Unhedged;
use probe::{Failure, LoginAttempt, LoginBackoff, Secret, Steps};

use crate::call_error::CallError;
use crate::credentials::UsedCredentials;

tokio::task_local! {
    static CURRENT: CallContext;
}

/// The call that the current task makes.
#[derive(Clone)]
pub(crate) struct CallContext {
    pub(crate) steps: Arc<Steps>,
    pub(crate) step: &'static str,
    /// Set once the request is signed with credentials of the default chain.
    pub(crate) used: Arc<OnceLock<UsedCredentials>>,
    /// Counts how often an object was sent. It is not sent twice at a time, since the second could arrive after its deletion.
    pub(crate) put: Unhedged,
    /// The refused logins with the credentials of the call.
    logins: Arc<LoginBackoff>,
    /// Set once the request is signed.
    attempt: Arc<OnceLock<LoginAttempt>>,
}

impl CallContext {
    /// A context that begins in `step`.
    pub(crate) fn new(step: &'static str) -> Self {
        Self::with_logins(step, Arc::default())
    }

    /// The same, for a call with credentials that may have been refused before.
    pub(crate) fn with_logins(step: &'static str, logins: Arc<LoginBackoff>) -> Self {
        let steps = Arc::new(Steps::new());
        steps.begin(step);
        let (used, put, attempt) = Default::default();
        Self { steps, step, used, put, logins, attempt }
    }

    /// Begins an attempt with these credentials, or fails if they were refused a short time ago. The SDK may request credentials twice in one call, which is one attempt.
    pub(crate) fn begin_login(&self, credentials: &Credentials) -> Result<(), Failure> {
        if self.attempt.get().is_none() {
            let (id, secret) = (credentials.access_key_id(), credentials.secret_access_key());
            self.logins.use_credentials(&Secret::formatted(format_args!("{id} {secret}")));
            let _unset = self.attempt.set(self.logins.begin()?);
        }
        Ok(())
    }

    /// Records the end of the call, and returns its result.
    pub(crate) fn end_login<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        let Some(attempt) = self.attempt.get() else { return result };
        if result.is_ok() {
            self.logins.succeed();
        }
        result.map_err(|error| error.map_failure(|failure| self.logins.fail(*attempt, failure)))
    }

    /// The context of the current task.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_else(|_| Self::new("request"))
    }

    /// Runs `work` in this context.
    pub(crate) async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self.clone(), work).await
    }
}
