//! The strips and sparklines, as inline SVG.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::runner::{CELLS, Cell, History, MAX_RESULTS, Moment, PastResult};

/// The height of a chart, and that of a bar for results without a failure. A bar with failures is taller as well as red.
const HEIGHT: u16 = 20;
const LOW: u16 = 12;

/// The width of a bar and its gap.
const BAR: usize = 4;

/// The last results, the newest on the right.
pub(super) fn strip(history: &History) -> Markup {
    let results = history.results();
    let (count, empty) = (results.len(), MAX_RESULTS - results.len());
    let failed = results.clone().filter(|result| result.is_failure()).count();
    let bars = results.map(|result| if result.is_failure() { HEIGHT } else { LOW });
    let count = probe::count(count as u64, "result", "results");
    let title = format!("{count}, {failed} of them failed");
    bars_chart(&title, MAX_RESULTS, empty, bars)
}

/// The last 24 hours in cells of ten minutes.
pub(super) fn day(history: &History, now: Moment) -> Markup {
    let cells = history.day(now);
    let failed = cells.iter().filter(|cell| cell.failed > 0).count();
    let title = format!("24 hours in cells of ten minutes, {failed} of them with failures");
    // The more of its runs fail, the taller a cell is.
    let height = |cell: &Cell| match (cell.runs, cell.failed) {
        (0, _) => 0,
        (_, 0) => LOW,
        (runs, failed) if failed >= runs => HEIGHT,
        _ => LOW + HEIGHT / 5,
    };
    bars_chart(&title, CELLS, 0, cells.iter().map(height))
}

fn bars_chart(
    title: &str,
    places: usize,
    empty: usize,
    heights: impl Iterator<Item = u16>,
) -> Markup {
    let (mut low, mut tall) = (String::new(), String::new());
    for (at, height) in heights.enumerate() {
        let path = match height {
            0 => continue,
            LOW => &mut low,
            _ => &mut tall,
        };
        let x = (empty + at) * BAR + BAR / 2;
        let _infallible = write!(path, "M{x} {HEIGHT}v-{height}");
    }
    html! {
        svg .strip role="img" viewBox={ "0 0 " (places * BAR) " " (HEIGHT) } preserveAspectRatio="none" {
            title { (title) }
            path .o d=(low) {}
            path .n d=(tall) {}
        }
    }
}

/// The last durations as a line; its scale ends with the longest.
pub(super) fn sparkline(history: &History) -> Markup {
    let results = history.results();
    let empty = MAX_RESULTS - results.len();
    let longest = results.clone().map(PastResult::duration).max().unwrap_or_default();
    let scale = longest.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut points = String::new();
    // The last one is repeated at the edge, so that a single result is a line as well.
    for (at, result) in results.clone().chain(results.last()).enumerate() {
        let (x, share) = ((empty + at) * BAR, result.duration().as_secs_f64() / scale);
        let y = f64::from(HEIGHT) - share * f64::from(HEIGHT - 2) - 1.0;
        let _infallible = write!(points, "{x},{y:.0} ");
    }
    html! {
        svg .spark aria-hidden="true" viewBox={ "0 0 " (MAX_RESULTS * BAR) " " (HEIGHT) } preserveAspectRatio="none" {
            polyline points=(points.trim_end()) {}
        }
    }
}
