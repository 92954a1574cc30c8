//! `health-gateway probe`: runs the checks without a server, and prints the results.

mod junit;
mod nagios;
mod reports;
mod rounds;
mod table;
mod terminal;

use std::io::{self, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use probe::Cause;

pub use self::reports::Reports;
use self::terminal::Style;
pub use self::terminal::{ColorChoice, escape_lines};
use crate::http::to_json;
use crate::metrics;
use crate::namespaces::Namespaces;

/// What is run and how the results are printed.
#[derive(Debug)]
pub struct ProbeOptions {
    /// The components and checks to run, or none for all.
    pub only: Vec<String>,
    /// The format of the results.
    pub format: Format,
    /// Whether the table is coloured.
    pub color: ColorChoice,
    /// Whether the table has the steps of each check.
    pub verbose: bool,
    /// How often the checks run.
    pub rounds: Rounds,
}

/// How often the checks run.
#[derive(Clone, Copy, Debug)]
pub enum Rounds {
    /// Once.
    Once,
    /// At this interval, until the process is stopped.
    Watch(Duration),
    /// Until every check works, or this time has passed.
    Wait(Duration),
}

/// A format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line for each check.
    Table,
    /// The JSON of the endpoint; for several namespaces, each under its name.
    Json,
    /// The XML that CI systems read as results of tests.
    Junit,
    /// The output and the exit codes of a plugin of Nagios.
    Nagios,
    /// The metrics of the checks in the text format of Prometheus.
    Prometheus,
}

impl Format {
    /// The exit code of a run without results.
    pub fn cannot_run(self) -> u8 {
        match self {
            Self::Nagios => nagios::UNKNOWN,
            Self::Table | Self::Json | Self::Junit | Self::Prometheus => 2,
        }
    }

    fn exit_code(self, reports: &Reports) -> u8 {
        match self {
            Self::Nagios => nagios::exit_code(reports),
            _ => u8::from(!reports.all_working()),
        }
    }
}

/// The text of a run without results, which a plugin of Nagios prints to standard output.
pub fn nagios_unknown(message: &str) -> String {
    nagios::unknown(message)
}

/// Runs the checks and prints their results. Returns the exit code.
///
/// Returns an error if no namespace has one of the selected names, or if the results cannot be printed.
pub async fn run(namespaces: &Namespaces, options: &ProbeOptions) -> Result<u8, String> {
    let style = Style::new(options.color, options.verbose);
    match options.rounds {
        Rounds::Once => {
            let reports = reports::probe(namespaces, &options.only, None).await?;
            print(options.text(&reports, style)).await?;
            Ok(options.format.exit_code(&reports))
        }
        Rounds::Wait(limit) => {
            let reports = rounds::wait(namespaces, &options.only, limit).await?;
            print(options.text(&reports, style)).await?;
            Ok(options.format.exit_code(&reports))
        }
        Rounds::Watch(interval) => rounds::watch(namespaces, options, style, interval).await,
    }
}

impl ProbeOptions {
    fn text(&self, reports: &Reports, style: Style) -> String {
        match self.format {
            Format::Table => table::table(reports, style, None),
            Format::Json => reports.json() + "\n",
            Format::Junit => junit::junit(reports),
            Format::Nagios => nagios::nagios(reports),
            Format::Prometheus => metrics::text(reports.samples()),
        }
    }
}

/// Whether standard output is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Printed {
    /// The text was written.
    Open,
    /// The reader has closed it, as `head` does when it has read enough.
    Closed,
}

/// Prints to standard output, on a thread of its own, since a reader that pauses blocks it, and a signal must still be handled.
async fn print(text: String) -> Result<Printed, String> {
    let write = move || {
        let mut out = io::stdout();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    let written = tokio::task::spawn_blocking(write).await.map_err(io::Error::other);
    match written.flatten() {
        Ok(()) => Ok(Printed::Open),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::Closed),
        Err(error) => Err(format!("cannot print: {}", Cause::from(error).text())),
    }
}
