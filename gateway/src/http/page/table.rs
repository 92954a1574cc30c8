//! The table of the checks, those that fail first.

use maud::{Markup, html};

use super::filter::Filter;
use super::text::{ago, clean, duration, time};
use super::view::{Row, View};
use super::{charts, details};
use crate::runner::History;

pub(super) fn table(view: &View<'_>, filter: &Filter) -> Markup {
    let rows: Vec<_> = view.rows.iter().filter(|row| filter.matches(row)).collect();
    html! {
        h2 { "Checks" }
        (filter.controls(view))
        @if rows.is_empty() {
            p { "No check matches." }
        } @else {
            table {
                thead {
                    tr {
                        th scope="col" { "Check" }
                        th scope="col" { "State" }
                        th scope="col" { "Last results" }
                        th scope="col" { "Time" }
                    }
                }
                tbody { @for row in rows { (table_row(row, view)) } }
            }
        }
    }
}

fn table_row(row: &Row<'_>, view: &View<'_>) -> Markup {
    let (mark, word, class) = row.rank.mark();
    let last_success = row.history().and_then(History::last_success);
    html! {
        tr #(row.id("check")) {
            th scope="row" {
                details #(row.id("details")) {
                    summary #(row.id("summary")) { (row.name) }
                    (details::details(row, view))
                }
            }
            td {
                span .(class) { span aria-hidden="true" { (mark) } " " (word) }
                @if let Some(since) = row.since() { " since " (ago(since, view.now)) }
                @if row.is_failing() { p .line { (clean(&row.result.status)) } }
                @if let Some(success) = last_success {
                    p { small { "last success " (time(success.wall(), view.now)) } }
                } @else if row.is_failing() && row.history().is_some() {
                    p { small { "no success yet" } }
                }
            }
            td { @if let Some(history) = row.history() { (charts::strip(history)) } }
            td .number {
                @if let Some(history) = row.history() { (charts::sparkline(history)) }
                (duration(row.result.response_time))
                @if let Some((median, p95)) = row.percentiles() {
                    " " small { "median " (duration(median)) ", p95 " (duration(p95)) }
                }
            }
        }
    }
}
