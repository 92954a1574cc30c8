//! Repeated runs: at an interval, or until every check works.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use super::reports::{Reports, probe};
use super::terminal::{Screen, Style, escape};
use super::{Format, Printed, ProbeOptions, print, table};
use crate::namespaces::Namespaces;

/// The pause between two runs while something fails, and how long the last one may take.
const PAUSE: Duration = Duration::from_secs(1);

/// Moves the cursor to the first line, after clearing the screen.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Runs the checks until all work or `limit` has passed, and names those that fail on standard error whenever they change.
pub(super) async fn wait(
    namespaces: &Namespaces,
    only: &[String],
    limit: Duration,
) -> Result<Reports, String> {
    let begun = Instant::now();
    let mut known = Vec::new();
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        let reports = probe(namespaces, only, Some(left.max(PAUSE))).await?;
        if reports.all_working() || begun.elapsed() >= limit {
            return Ok(reports);
        }
        let failing = reports.checks().filter(|check| !check.result.is_working());
        let failing: Vec<_> = failing.map(|check| escape(&check.name())).collect();
        if failing != known {
            // Standard error may be closed, or a file on a full disk.
            drop(writeln!(io::stderr(), "waiting for {}", failing.join(", ")));
            known = failing;
        }
        let left = limit.saturating_sub(begun.elapsed());
        sleep_until((Instant::now() + PAUSE.min(left)).into()).await;
    }
}

/// Runs the checks at an interval and prints each result, until standard output is closed. Returns the last exit code.
pub(super) async fn watch(
    namespaces: &Namespaces,
    options: &ProbeOptions,
    style: Style,
    interval: Duration,
) -> Result<u8, String> {
    loop {
        let begun = Instant::now();
        let reports = probe(namespaces, &options.only, None).await?;
        let text = match Screen::current() {
            Some(screen) if options.format == Format::Table => {
                CLEAR.to_owned() + &table::table(&reports, style, Some(screen))
            }
            None if options.format == Format::Table => options.text(&reports, style) + "\n",
            _ => options.text(&reports, style),
        };
        if print(text).await? == Printed::Closed {
            return Ok(options.format.exit_code(&reports));
        }
        sleep_until((begun + interval).into()).await;
    }
}
