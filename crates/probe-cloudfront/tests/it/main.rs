//! Tests the probe with moto's API and an edge that responds as CloudFront does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod distributions;
mod objects;
mod promises;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_cloudfront::KIND;
use probe_testkit::{RunOutcome, checks, component, run};
use stack::aws::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// Longer than any response takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The settings of the distribution.
fn api(server: SocketAddr, id: &str) -> String {
    api_for(server, id, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
}

fn api_for(server: SocketAddr, id: &str, access_key_id: &str, secret_access_key: &str) -> String {
    format!(
        "distribution = '{id}'\nendpoint_url = 'http://{server}'\naccess_key_id = '{access_key_id}'\nsecret_access_key = '{secret_access_key}'\n"
    )
}

/// The settings of the object.
fn edge(server: SocketAddr, object: &str) -> String {
    format!("object = '{object}'\naddress = 'http://{server}'\n")
}

/// The check `site` with these settings.
fn check(lines: &str) -> Arc<dyn DynCheck> {
    let group = component(&KIND, "cloud_front", &format!("[site]\n{lines}"));
    checks(&group).remove(0).1
}

/// Runs the check `site` with these settings once.
async fn outcome(lines: &str) -> RunOutcome {
    run(&check(lines), TIMEOUT).await
}
