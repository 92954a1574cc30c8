//! The probe against real workers and brokers, on both transports.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod brokers;
mod canaries;
mod fixture;
mod leftovers;
mod old_release;
mod options;
mod permissions;
mod promises;
mod relay;
mod serializers;
mod settings;
mod sharing;
mod urls;
mod workers;

use std::time::Duration;

/// Far longer than any reply takes.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The deadline of a run that is expected to time out.
const SHORT_TIMEOUT: Duration = Duration::from_secs(1);
