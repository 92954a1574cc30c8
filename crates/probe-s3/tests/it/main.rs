//! The probe against real servers: localstack, moto where permissions matter, and impostors that answer as AWS does when something is wrong.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod canaries;
mod chain;
mod permissions;
mod promises;
mod settings;
mod working;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_s3::KIND;
use probe_testkit::{Outcome, checks, component, run};
use stack::aws::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// The settings that say where a bucket is, and with which keys.
fn place(server: SocketAddr) -> String {
    place_for(server, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
}

fn place_for(server: SocketAddr, access_key_id: &str, secret_access_key: &str) -> String {
    format!(
        "endpoint_url = 'http://{server}'\nregion = '{REGION}'\naccess_key_id = '{access_key_id}'\nsecret_access_key = '{secret_access_key}'\n"
    )
}

/// The check `files` with these lines as its settings.
fn check(lines: &str) -> Arc<dyn DynCheck> {
    let group = component(&KIND, "s3", &format!("[files]\n{lines}"));
    checks(&group).remove(0).1
}

/// One run of the check `files` with these lines as its settings.
async fn outcome(lines: &str) -> Outcome {
    run(&check(lines), PATIENCE).await
}
