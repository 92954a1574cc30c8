//! The background task that renews a session's token while the session is in use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::Steps;
use tokio::sync::watch;

use crate::api::with_background_timeout;
use crate::token_manager::TokenManager;

/// The retry delay doubles from the first to the maximum, so that a Vault that is down is not flooded.
const FIRST_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_mins(1);

/// Renews the token until the sender of `session_dropped` is gone, then revokes it.
pub(crate) async fn run(tokens: Arc<TokenManager>, mut session_dropped: watch::Receiver<()>) {
    tokio::select! {
        () = renew_forever(&tokens) => {}
        _ = session_dropped.changed() => {}
    }
    revoke(&tokens).await;
}

/// Revokes a token that was obtained by a login. Best effort: a failure is only logged.
pub(crate) async fn revoke(tokens: &TokenManager) {
    let steps = Steps::new();
    if let Err(failure) = with_background_timeout(&steps, tokens.revoke(&steps)).await {
        let error = failure.render(tokens.api.target());
        tracing::warn!(error, "vault token revocation failed");
    }
}

async fn renew_forever(tokens: &Arc<TokenManager>) {
    let mut retry_delay = FIRST_RETRY_DELAY;
    let mut not_before = Instant::now();
    loop {
        let Some(due) = tokens.renewal_due() else {
            tokens.changed.notified().await;
            continue;
        };
        let wait = due.max(not_before).saturating_duration_since(Instant::now());
        if tokio::time::timeout(wait, tokens.changed.notified()).await.is_ok() {
            continue;
        }
        let steps = Steps::new();
        let Err(failure) = with_background_timeout(&steps, tokens.renew(&steps)).await else {
            retry_delay = FIRST_RETRY_DELAY;
            continue;
        };
        let error = failure.render(tokens.api.target());
        tracing::warn!(error, "vault token renewal failed");
        not_before = Instant::now() + retry_delay;
        retry_delay = (retry_delay * 2).min(MAX_RETRY_DELAY);
    }
}
