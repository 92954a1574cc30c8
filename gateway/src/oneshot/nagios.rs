//! The output and the exit code of a plugin of Nagios, Icinga and others.

use super::reports::{Meaning, ProbedCheck, Reports};
use super::terminal::escape;
use crate::http::seconds;

/// The exit code of a plugin that could not run.
pub(super) const UNKNOWN: u8 = 3;

/// The exit code of the worst result. A failure during maintenance does not count.
pub(super) fn exit_code(reports: &Reports) -> u8 {
    match worst(reports) {
        Meaning::Working | Meaning::Maintenance => 0,
        Meaning::Warning => 1,
        Meaning::Critical => 2,
    }
}

/// The output of a plugin that could not run because of `message`.
pub(super) fn unknown(message: &str) -> String {
    let mut lines = message.lines().map(text);
    let first = lines.next().unwrap_or_default();
    let rest: String = lines.map(|line| line + "\n").collect();
    format!("HEALTH UNKNOWN - {first}\n{rest}")
}

/// A line with the worst failure and all times, and then a line for each failure.
pub(super) fn nagios(reports: &Reports) -> String {
    let state = match worst(reports) {
        Meaning::Working | Meaning::Maintenance => "OK",
        Meaning::Warning => "WARNING",
        Meaning::Critical => "CRITICAL",
    };
    let mut failing: Vec<_> =
        reports.checks().filter(|check| check.meaning() > Meaning::Working).collect();
    failing.sort_by_key(|check| std::cmp::Reverse(check.meaning()));
    let summary = summary(&failing, reports.checks().count());
    let times: Vec<_> = reports.checks().map(|check| time(&check)).collect();
    let mut output = format!("HEALTH {state} - {summary} | {}\n", times.join(" "));
    for check in &failing {
        let meaning = match check.meaning() {
            Meaning::Critical => "CRITICAL",
            Meaning::Warning => "WARNING",
            Meaning::Maintenance | Meaning::Working => "MAINTENANCE",
        };
        output.extend([meaning, ": ", &failure(check), "\n"]);
    }
    output
}

fn worst(reports: &Reports) -> Meaning {
    reports.checks().map(|check| check.meaning()).max().unwrap_or(Meaning::Working)
}

/// What the first line says of the checks that fail, the worst first.
fn summary(failing: &[ProbedCheck<'_>], all: usize) -> String {
    let counts = |check: &ProbedCheck<'_>| check.meaning() > Meaning::Maintenance;
    let (failing, in_maintenance) =
        failing.split_at(failing.iter().position(|check| !counts(check)).unwrap_or(failing.len()));
    let names = |checks: &[ProbedCheck<'_>]| {
        checks.iter().map(|check| text(&check.name())).collect::<Vec<_>>().join(", ")
    };
    let mut summary = match failing {
        [] => format!("{} of {all} working", all - in_maintenance.len()),
        [first] => format!("1 of {all}: {}", failure(first)),
        [first, others @ ..] => {
            format!("{} of {all}: {}, and {}", failing.len(), failure(first), names(others))
        }
    };
    if !in_maintenance.is_empty() {
        summary.extend([", in maintenance: ", &names(in_maintenance)]);
    }
    summary
}

fn failure(check: &ProbedCheck<'_>) -> String {
    format!("{} {}", text(&check.name()), text(&check.result.status))
}

/// The time of a check, with its timeout as the critical bound.
fn time(check: &ProbedCheck<'_>) -> String {
    let label = text(&check.name()).replace('\'', "''").replace('=', "_");
    let timeout = check.state.timeout.as_secs_f64();
    format!("'{label}'={}s;;{timeout};0", seconds(check.result.response_time))
}

/// A text without `|`, which begins the performance data.
fn text(text: &str) -> String {
    escape(text).replace('|', "/")
}
