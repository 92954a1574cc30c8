//! What is folded below the name of a check: steps, settings, observations, a day and its changes.

use std::time::{Duration, SystemTime};

use maud::{Markup, PreEscaped, html};
use probe::Observation;

use super::text::{NBSP, age, clean, duration, time};
use super::view::{Row, View};
use super::{changes, charts, runbook};
use crate::metrics::measured;
use crate::runner::Moment;

pub(super) fn details(row: &Row<'_>, view: &View<'_>) -> Markup {
    let Some(check) = row.check else { return html! {} };
    let limits = check.limits;
    let failed_step = row.is_failing().then(|| row.failed_step());
    let entry = failed_step.and_then(|step| runbook::entry(check.kind, step));
    html! {
        @if let Some(entry) = entry {
            p .hint {
                "The step " code { (row.failed_step()) } " failed: " (PreEscaped(entry.meaning))
                ". Try first: " (PreEscaped(entry.first)) "."
            }
        }
        dl {
            @if !check.target.is_empty() { dt { "Target" } dd { code { (check.target) } } }
            dt { "Severity" }
            dd { (check.severity.as_str()) }
            dt { "Timeout" }
            dd {
                (duration(limits.timeout))
                @if !limits.max_age.is_zero() {
                    ", results are served again for " (duration(limits.max_age))
                }
            }
            dt { "Runs" }
            dd {
                @if check.interval.is_zero() { "when a caller asks" }
                @else { "every " (age(check.interval)) ", and when a caller asks" }
            }
            @if check.is_shared {
                dt { "Shared" }
                dd {
                    "with the other replicas"
                    @if let Some(replica) = check.last.as_ref().and_then(|last| last.seen_by.as_deref()) {
                        ", the last result is from " (replica)
                    }
                }
            }
            @if let Some(history) = row.history() {
                dt { "Steps of the last run" }
                dd {
                    @for (at, (step, took)) in history.steps().enumerate() {
                        @if at > 0 { ", " }
                        span .step { (step) " " (duration(took)) }
                    }
                }
            }
            @for observation in &check.observations {
                @let (label, value) = observed(observation, view.now);
                dt { (label) }
                dd { (value) }
            }
        }
        @if let Some(history) = row.history() {
            p { "The last 24 hours" }
            (charts::day(history, view.now))
            @if history.changes().len() == 0 {
                p { "It has not changed since " (time(history.begun().wall(), view.now)) "." }
            } @else {
                p { "The last changes" }
                (changes::list(history.changes(), view.now))
            }
        }
    }
}

/// An observation as its metric is called, without prefix and unit.
fn observed(observation: &Observation, now: Moment) -> (String, Markup) {
    const UNITS: [&str; 3] = ["_timestamp_seconds", "_seconds", "_bytes"];
    let (metric, value) = measured(observation);
    let name = metric.strip_prefix("health_gateway_").unwrap_or(&metric);
    let unit = UNITS.into_iter().find(|unit| name.ends_with(unit));
    let name = name.strip_suffix(unit.unwrap_or_default()).unwrap_or(name).replace('_', " ");
    let label = match observation.name() {
        Some(of) => format!("{name} of {}", clean(of)),
        None => name,
    };
    let value = match unit {
        Some("_timestamp_seconds") => {
            let at = Duration::try_from_secs_f64(value).unwrap_or_default();
            time(SystemTime::UNIX_EPOCH + at, now)
        }
        Some("_seconds") => {
            let took = Duration::try_from_secs_f64(value).unwrap_or_default();
            html! { (duration(took)) }
        }
        Some(_) => html! { (value) (NBSP) "bytes" },
        None => html! { (value) },
    };
    (label, value)
}
