//! The probe against real brokers: the shared one, and private ones with faults.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod cutting;
mod encryption;
mod impostors;
mod logins;
mod management;
mod nesting;
mod promises;
mod queues;
mod urls;

use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_rabbit::KIND;
use probe_testkit::{RunOutcome, run, single};

/// A deadline far beyond any response time.
const DEADLINE: Duration = Duration::from_secs(10);
/// The deadline of a run against a silent broker.
const SHORT_DEADLINE: Duration = Duration::from_millis(500);

/// A check with these settings.
fn check(toml: &str) -> Arc<dyn DynCheck> {
    single(&KIND, "rabbit", toml)
}

/// Runs a check with these settings once.
async fn outcome(toml: &str) -> RunOutcome {
    run(&check(toml), DEADLINE).await
}
