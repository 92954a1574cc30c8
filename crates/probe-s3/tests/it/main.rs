//! Tests the probe with localstack, moto for permissions, and impostors for AWS's error responses.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod canaries;
mod chain;
mod checksums;
mod concurrency;
mod errors;
mod missing;
mod permissions;
mod promises;
mod proxy;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_s3::KIND;
use probe_testkit::{RunOutcome, checks, component, run};
use stack::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};

/// Longer than any response takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The settings for the server and the keys.
fn connection_settings(server: SocketAddr) -> String {
    connection_settings_for(server, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
}

fn connection_settings_for(
    server: SocketAddr,
    access_key_id: &str,
    secret_access_key: &str,
) -> String {
    format!(
        "endpoint_url = 'http://{server}'\nregion = '{REGION}'\naccess_key_id = '{access_key_id}'\nsecret_access_key = '{secret_access_key}'\n"
    )
}

/// The check `files` with these settings.
fn check(lines: &str) -> Arc<dyn DynCheck> {
    let group = component(&KIND, "s3", &format!("[files]\n{lines}"));
    checks(&group).remove(0).1
}

/// Runs the check `files` with these settings once.
async fn outcome(lines: &str) -> RunOutcome {
    run(&check(lines), TIMEOUT).await
}
