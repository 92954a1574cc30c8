//! The probe against real servers: the shared one, and private ones in every state that a caller must be able to tell apart.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encryption;
mod healthy;
mod hosts;
mod impostors;
mod logins;
mod promises;
mod roles;
mod settings;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_postgres::KIND;
use probe_testkit::Outcome;
use stack::postgres::Postgres;
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};

/// Long enough for every answer that comes at all.
const DEADLINE: Duration = Duration::from_secs(10);

/// So long a test waits for an answer that will not come.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// The URL of the server on this port, as the gateway's user.
fn url(port: u16) -> String {
    format!("postgres://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{port}/{POSTGRES_DATABASE}")
}

/// The check of this URL, with further lines of TOML.
fn check(url: &str, toml: &str) -> Arc<dyn DynCheck> {
    probe_testkit::single(&KIND, "postgres", &format!("url = '{url}'\n{toml}"))
}

async fn run(check: &Arc<dyn DynCheck>) -> Outcome {
    probe_testkit::run(check, DEADLINE).await
}

/// Checks that one run of this URL ends with this line; `PORT` in it stands for the port.
async fn check_line(port: u16, url: &str, toml: &str, expected: &str) {
    let outcome = run(&check(url, toml)).await;
    assert_eq!(outcome.line(), expected.replace("PORT", &port.to_string()));
}

/// A private server of its own, with these settings from its second start on.
fn private(settings: &[&str]) -> Postgres {
    let mut server = Postgres::start(&[]).unwrap();
    if !settings.is_empty() {
        server.configure(settings).unwrap();
    }
    server
}
