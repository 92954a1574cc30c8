//! What has to be known to read the page: maintenance, a refused configuration, times without runs.

use std::time::Duration;

use maud::{Markup, html};

use super::text::{age, time};
use super::view::View;
use crate::overview::CheckOverview;
use crate::runner::{Moment, PastResult};

/// A shorter time without a run is no gap.
const MIN_GAP: Duration = Duration::from_mins(5);

/// The same in intervals, so that a run may be late.
const MIN_GAP_INTERVALS: u32 = 3;

pub(super) fn notices(view: &View<'_>) -> Markup {
    let in_maintenance: Vec<_> = view
        .overview
        .checks
        .iter()
        .filter_map(|check| Some((check, check.maintenance_until?)))
        .collect();
    html! {
        @if let Some(installed) = view.overview.rejected_since {
            p .notice {
                "The current configuration is refused. The one that was loaded at "
                (time(installed, view.now)) " is in use; the log says what is wrong (" code { "config rejected" } ")."
            }
        }
        @match view.overview.unreadable_secrets {
            0 => {},
            1 => { p .notice { "A secret cannot be read from Vault; its last known value is in use." } },
            count => {
                p .notice { (count) " secrets cannot be read from Vault; their last known values are in use." }
            },
        }
        @if view.overview.is_store_down {
            p .notice {
                "The store of shared results is unavailable: each replica runs its checks by itself."
            }
        }
        @if let Some(end) = in_maintenance.iter().map(|(_, until)| *until).max() {
            p .notice {
                "In maintenance until " (time(end, view.now)) ": "
                @if in_maintenance.len() == view.rows.len() {
                    "all checks"
                } @else {
                    @for (at, (check, until)) in in_maintenance.iter().enumerate() {
                        @if at > 0 { ", " }
                        (check.name)
                        @if *until != end { " (until " (time(*until, view.now)) ")" }
                    }
                }
                "."
            }
        }
        @if let Some((from, to)) = gap(view) {
            p .notice {
                "Nothing has asked for " (age(to.since(from))) ", from " (time(from.wall(), view.now)) " to "
                (time(to.wall(), view.now)) ": what happened then is not known. With "
                code { "interval" } ", the gateway runs the checks by itself."
            }
        }
    }
}

/// The last time in which a check that has results before and after it did not run.
fn gap(view: &View<'_>) -> Option<(Moment, Moment)> {
    let gaps = view.histories().filter_map(|(row, history)| {
        let min = min_gap(row.check?);
        let times: Vec<_> = history.results().map(|PastResult { at, .. }| *at).collect();
        let mut pairs = times.windows(2).rev();
        let pair = pairs.find(|pair| pair[1].since(pair[0]) > min)?;
        Some((pair[0], pair[1]))
    });
    gaps.max_by_key(|(_, to)| *to)
}

fn min_gap(check: &CheckOverview) -> Duration {
    let own = check.interval.max(check.limits.max_age).saturating_mul(MIN_GAP_INTERVALS);
    MIN_GAP.max(own)
}

/// Since when the page remembers results, and until when.
pub(super) fn memory(view: &View<'_>) -> Markup {
    let begun = view.histories().map(|(_, history)| history.begun()).min();
    html! {
        p {
            @if let Some(begun) = begun {
                "The results since " (time(begun.wall(), view.now)) " (" (age(view.now.since(begun)))
                ") are in the memory of this process, and end with it. "
            }
            "Times are in UTC. health-gateway " (env!("CARGO_PKG_VERSION")) ". "
            a href="?format=json" { "The report as JSON" }
        }
    }
}
