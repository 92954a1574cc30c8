//! Logs one event per line to standard error, as JSON unless that is a terminal.

mod writer;

use std::io::{self, IsTerminal as _};
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

pub use self::writer::{DroppedLines, Log};

/// Starts the log with the gateway's own events at `level` and above, and those of checks and libraries at the level `libraries` and above.
///
/// Lines are written as long as the returned [`Log`] exists.
#[must_use]
pub fn start(level: LevelFilter, libraries: LevelFilter) -> Log {
    let (writer, log) = writer::start();
    let own_targets = ["gateway", "health_gateway", "vault_client", "redis_client", "http_client"];
    let filter = own_targets
        .iter()
        .fold(Targets::new().with_default(libraries), |filter, target| {
            filter.with_target(*target, level)
        })
        // The report contains the failures of this library. Its events repeat them, and may contain whole responses.
        .with_target("aws_config", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let layer = if io::stderr().is_terminal() {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    // The default hook would print a panic's message without removing secrets.
    panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(location, payload, "panicked");
    }));
    log
}
