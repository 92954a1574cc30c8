//! The probe against real workers on real brokers, of both transports.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod brokers;
mod canaries;
mod leftovers;
mod permissions;
mod promises;
mod settings;
mod sharing;
mod stage;
mod workers;

use std::time::Duration;

/// Far longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long silence is listened to.
const MOMENT: Duration = Duration::from_secs(1);
