//! Keeps a session's token alive in the background, for as long as anybody uses the session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{Failure, Steps};
use tokio::sync::watch;

use crate::api::bounded;
use crate::tokens::Tokens;

/// The pauses after failures double from the first to the longest, so that a Vault that is down is left in peace.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Runs until `users` has lost its sender, then gives the token back.
pub(crate) async fn keep(tokens: Arc<Tokens>, mut users: watch::Receiver<()>) {
    tokio::select! {
        () = care_forever(&tokens) => {}
        _ = users.changed() => {}
    }
    give_back(&tokens).await;
}

/// Revokes a token that a login gave us, as well as that goes.
pub(crate) async fn give_back(tokens: &Tokens) {
    let steps = Steps::new();
    if let Err(failure) = bounded(&steps, tokens.revoke(&steps)).await {
        log(tokens, "could not revoke the session's token", &failure);
    }
}

async fn care_forever(tokens: &Tokens) {
    let mut pause = FIRST_PAUSE;
    let mut not_before = Instant::now();
    loop {
        let Some(due) = tokens.care_due() else {
            tokens.changed.notified().await;
            continue;
        };
        let wait = due.max(not_before).saturating_duration_since(Instant::now());
        if tokio::time::timeout(wait, tokens.changed.notified()).await.is_ok() {
            continue;
        }
        let steps = Steps::new();
        let Err(failure) = bounded(&steps, tokens.care(&steps)).await else {
            pause = FIRST_PAUSE;
            continue;
        };
        log(tokens, "could not keep the session's token alive", &failure);
        not_before = Instant::now() + pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn log(tokens: &Tokens, what: &str, failure: &Failure) {
    tracing::warn!("{what}: {}", failure.render(tokens.api.target()));
}
