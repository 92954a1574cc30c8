//! The probe against real brokers: the shared one, and private ones that are broken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod cutting;
mod encryption;
mod impostors;
mod logins;
mod promises;
mod queues;

use std::sync::Arc;
use std::time::Duration;

use probe::DynCheck;
use probe_rabbit::KIND;
use probe_testkit::{Outcome, run, single};

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long silence is listened to.
const MOMENT: Duration = Duration::from_millis(500);

/// A check with these lines.
fn check(toml: &str) -> Arc<dyn DynCheck> {
    single(&KIND, "rabbit", toml)
}

/// One run of a check with these lines.
async fn outcome(toml: &str) -> Outcome {
    run(&check(toml), PATIENCE).await
}
