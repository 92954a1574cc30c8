//! The probe against real servers: the shared one, and private ones in various states.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commits;
mod direct_tls;
mod encryption;
mod failures;
mod healthy;
mod hosts;
mod impostors;
mod logins;
mod outages;
mod passfile;
mod promises;
mod roles;
mod settings;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_postgres::KIND;
use probe_testkit::RunOutcome;
use stack::postgres::Postgres;
use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};

/// A deadline far beyond any response time.
const DEADLINE: Duration = Duration::from_secs(10);

/// The deadline of a run against a silent server.
const SHORT_DEADLINE: Duration = Duration::from_millis(500);

/// The URL of the server on this port, with the gateway's user.
fn url(port: u16) -> String {
    format!("postgres://{HEALTH_USER}:{HEALTH_PASSWORD}@127.0.0.1:{port}/{POSTGRES_DATABASE}")
}

/// A check of this URL, with additional lines of TOML.
fn check(url: &str, toml: &str) -> Arc<dyn DynCheck> {
    probe_testkit::single(&KIND, "postgres", &format!("url = '{url}'\n{toml}"))
}

async fn run(check: &Arc<dyn DynCheck>) -> RunOutcome {
    probe_testkit::run(check, DEADLINE).await
}

/// Asserts that a run with this URL fails with the line `expected`, in which `PORT` stands for the port.
async fn check_line(port: u16, url: &str, toml: &str, expected: &str) {
    let outcome = run(&check(url, toml)).await;
    assert_eq!(outcome.line(), expected.replace("PORT", &port.to_string()));
}

/// A private server, restarted with these settings if there are any.
fn private(settings: &[&str]) -> Postgres {
    let mut server = Postgres::start(&[]).unwrap();
    if !settings.is_empty() {
        server.configure(settings).unwrap();
    }
    server
}
