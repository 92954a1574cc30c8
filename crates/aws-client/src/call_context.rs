//! The context of one call, which a task-local carries through the SDK to the HTTP client.

use std::sync::{Arc, OnceLock};

use probe::Steps;

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
}

impl CallContext {
    /// A context that begins in `step`.
    pub(crate) fn new(step: &'static str) -> Self {
        let steps = Arc::new(Steps::new());
        steps.begin(step);
        Self { steps, step, used: Arc::default() }
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
