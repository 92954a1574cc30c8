//! Tests the probe with a real WebSocket server, and with servers that violate the protocol.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod closing;
mod encryption;
mod exchanges;
mod handshakes;
mod impostors;
mod promises;
mod secrets;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_testkit::{RunOutcome, run, single};
use probe_websocket::KIND;
use stack::HEALTH_PASSWORD;
use stack::websocket::shared;

/// A deadline far beyond any response time.
const DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of a run against a silent server.
const SHORT_DEADLINE: Duration = Duration::from_secs(1);

/// A check of this path of a server, with the additional settings `more`.
fn check(address: SocketAddr, path: &str, more: &str) -> Arc<dyn DynCheck> {
    single(&KIND, "websocket", &format!("url = 'ws://{address}{path}'\n{more}\n"))
}

/// Runs a check of this path of the shared server once.
async fn run_once(path: &str, more: &str) -> RunOutcome {
    run(&check(shared().unwrap(), path, more), DEADLINE).await
}

/// The setting with the right key.
fn right_key() -> String {
    format!("headers = {{ X-Api-Key = '{HEALTH_PASSWORD}' }}")
}

/// Asserts that a check of the shared server failed with the text `expected`.
#[track_caller]
fn assert_fails(outcome: &RunOutcome, expected: &str) {
    assert_eq!(outcome.line(), format!("{expected} ({})", stack::WEBSOCKET));
}
