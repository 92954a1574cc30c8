//! Tests the probe with real OpenBao servers: a shared one, and one in each state.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod healthy;
mod impostors;
mod secrets;
mod servers;
mod settings;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_testkit::{RunOutcome, run, single};
use probe_vault::KIND;
use serde_json::Value;
use stack::vault::{ROOT_TOKEN, api};

/// Longer than any response takes.
const DEADLINE: Duration = Duration::from_secs(10);

/// The check of the Vault at 127.0.0.1:`port` with the root token and the additional settings `more`.
fn check(port: u16, more: &str) -> Arc<dyn DynCheck> {
    with_token(port, ROOT_TOKEN, more)
}

/// Like [`check`], but with this token.
fn with_token(port: u16, token: &str, more: &str) -> Arc<dyn DynCheck> {
    let toml = format!("url = 'http://127.0.0.1:{port}'\ntoken = '{token}'\n{more}\n");
    single(&KIND, "vault", &toml)
}

/// Creates a token with these settings in the Vault at this port.
fn new_token(port: u16, settings: &Value) -> String {
    let response = api(port, "POST", "auth/token/create", settings).unwrap();
    response["auth"]["client_token"].as_str().unwrap().to_owned()
}

async fn once(check: &Arc<dyn DynCheck>) -> RunOutcome {
    run(check, DEADLINE).await
}

/// Asserts the error line for the Vault at this port.
#[track_caller]
fn assert_fails(outcome: &RunOutcome, port: u16, expected: &str) {
    assert_eq!(outcome.line(), format!("{expected} (127.0.0.1:{port})"));
}
