//! The log: one event a line on standard error, JSON unless a person is looking, and no secret in any of them.

use std::io::{self, IsTerminal as _, Write};
use std::panic;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts the log: our own events from `level` on, those of libraries from `warn` on at most.
pub fn start(level: LevelFilter) {
    let ours = ["gateway", "health_gateway", "vault_client", "redis_client", "http_client"];
    let filter = ours
        .iter()
        .fold(Targets::new().with_default(level.min(LevelFilter::WARN)), |filter, target| {
            filter.with_target(*target, level)
        })
        // Their failures reach the report by way of the checks; their own words add nothing but noise, and whole answers.
        .with_targets([("fred", LevelFilter::OFF), ("aws_config", LevelFilter::OFF)]);
    let lines = tracing_subscriber::fmt::layer().with_writer(Scrubbed);
    let layer = if io::stderr().is_terminal() {
        lines.boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    };
    tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    // The default hook would print a panic's text as it is.
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, text, "panic");
    }));
}

/// Takes secrets out of every line: the last net below types that do not print.
#[derive(Clone, Copy, Debug)]
struct Scrubbed;

impl<'a> MakeWriter<'a> for Scrubbed {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for Scrubbed {
    /// The subscriber writes each event at once, so that no secret is cut in two.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let clean = probe::scrub(&String::from_utf8_lossy(event));
        io::stderr().lock().write_all(clean.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}
