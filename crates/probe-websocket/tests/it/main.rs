//! The probe against a real WebSocket server, and against impostors where no real one would misbehave so.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod encryption;
mod handshakes;
mod impostors;
mod partings;
mod promises;
mod secrets;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_testkit::{Outcome, run, single};
use probe_websocket::KIND;
use stack::HEALTH_PASSWORD;
use stack::websocket::shared;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// So long a silent server is waited for.
const SILENCE: Duration = Duration::from_secs(1);

/// The check of this path of a server, with some `more` settings.
fn check(address: SocketAddr, path: &str, more: &str) -> Arc<dyn DynCheck> {
    single(&KIND, "websocket", &format!("url = 'ws://{address}{path}'\n{more}\n"))
}

/// One run against this path of the shared server.
async fn ask(path: &str, more: &str) -> Outcome {
    run(&check(shared().unwrap(), path, more), PATIENCE).await
}

/// The setting that shows the right key.
fn with_key() -> String {
    format!("headers = {{ X-Api-Key = '{HEALTH_PASSWORD}' }}")
}

/// Expects this failure of the shared server.
#[track_caller]
fn assert_fails(outcome: &Outcome, expected: &str) {
    assert_eq!(outcome.line(), format!("{expected} ({})", stack::WEBSOCKET));
}
