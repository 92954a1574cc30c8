//! The table: a line for each check, and its steps if they are asked for.

use std::time::Duration;

use super::reports::{Meaning, ProbedCheck, Reports};
use super::terminal::{Screen, Style, escape};
use crate::http::seconds;
use crate::runner::WAITS;

const BOLD: &str = "1";

/// A row, before its columns are aligned.
struct TableRow {
    cells: [String; 3],
    /// The last column, since it may be long.
    last: String,
    /// The parameters of the escape sequence that colours the last column.
    color: &'static str,
    is_working: bool,
}

/// A table with a line for each check. On a `screen`, it is cut to its size, and begins with the checks that fail.
pub(super) fn table(reports: &Reports, style: Style, screen: Option<Screen>) -> String {
    let heads = ["namespace", "check", "seconds"].map(str::to_owned);
    let head = TableRow { cells: heads, last: "status".into(), color: BOLD, is_working: false };
    let mut lines: Vec<_> = reports.checks().flat_map(|check| lines(&check, style)).collect();
    let cut = screen.map(|screen| cut(&mut lines, screen)).unwrap_or_default();
    lines.insert(0, head);
    if let Some(screen) = screen {
        // A long name must not displace the status.
        let names = lines.iter_mut().map(|line| &mut line.cells[1]);
        names.for_each(|name| *name = shorten(name, screen.columns / 2));
    }
    let width =
        |at: usize| lines.iter().map(|it| it.cells[at].chars().count()).max().unwrap_or_default();
    let (first, second, third) = (width(0), width(1), width(2));
    let line = |line: &TableRow| {
        let [namespace, check, time] = &line.cells;
        let mut text = format!("{check:second$}  {time:>third$}  ");
        if reports.several() {
            text.insert_str(0, &format!("{namespace:first$}  "));
        }
        let room = screen.map_or(usize::MAX, |screen| screen.columns);
        let last = shorten(&line.last, room.saturating_sub(text.chars().count()));
        let text = shorten(&text, room);
        if style.color {
            format!("{text}\u{1b}[{}m{last}\u{1b}[0m\n", line.color)
        } else {
            format!("{text}{last}\n")
        }
    };
    lines.iter().map(line).chain(cut).collect()
}

/// The line of a check, and of each of its steps.
fn lines(check: &ProbedCheck<'_>, style: Style) -> Vec<TableRow> {
    let line = TableRow {
        cells: [
            escape(check.namespace),
            escape(&check.state.name),
            seconds(check.result.response_time),
        ],
        last: escape(&(check.meaning().prefix().to_owned() + &check.result.status)),
        color: match check.meaning() {
            Meaning::Working => "32",
            Meaning::Maintenance | Meaning::Warning => "33",
            Meaning::Critical => "31",
        },
        is_working: check.result.is_working(),
    };
    let is_working = line.is_working;
    let durations = &check.state.durations;
    // While a check runs on after a timeout, the time of its result is that of the report, which does not wait for it again.
    let is_longer = |(step, time): &(&str, Duration)| {
        !WAITS.contains(step) && *time > check.result.response_time
    };
    let is_earlier = durations.iter().any(is_longer);
    let note = if is_earlier { " (of the last complete run)" } else { "" };
    let step = |(step, time): &(&'static str, Duration)| TableRow {
        cells: [String::new(), String::new(), seconds(*time)],
        last: format!("  {step}{note}"),
        color: "2",
        is_working,
    };
    let steps = durations.iter().map(step);
    let steps: Vec<_> = if style.verbose { steps.collect() } else { Vec::new() };
    std::iter::once(line).chain(steps).collect()
}

/// Leaves as many lines as fit below the head, those of failing checks first. Returns a line for the others.
fn cut(lines: &mut Vec<TableRow>, screen: Screen) -> Option<String> {
    // The head, the line for the others, and that of the cursor.
    let room = screen.rows.saturating_sub(3).max(1);
    if lines.len() <= room {
        return None;
    }
    lines.sort_by_key(|line| line.is_working);
    let others = lines.len() - room;
    lines.truncate(room);
    Some(format!("... and {}\n", probe::count(others as u64, "more line", "more lines")))
}

fn shorten(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain((room > 0).then_some('…')).collect()
}
