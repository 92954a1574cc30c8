//! The changes over all checks, and those of one.

use maud::{Markup, html};

use super::filter::Filter;
use super::text::{age, clean, time};
use super::view::View;
use crate::runner::{Change, Moment};

/// How many changes the page lists. Each check lists its own.
const MAX_LISTED: usize = 50;

pub(super) fn changes(view: &View<'_>, filter: &Filter) -> Markup {
    let mut changes: Vec<_> = view
        .histories()
        .filter(|(row, _)| filter.matches_name(row))
        .flat_map(|(row, history)| history.changes().map(move |change| (row, change)))
        .collect();
    changes.sort_by_key(|(_, change)| std::cmp::Reverse(change.at));
    html! {
        h2 { "Changes" }
        @if changes.is_empty() {
            p { "No check has changed." }
        } @else {
            ol .changes {
                @for (row, change) in changes.iter().take(MAX_LISTED) {
                    li { (time(change.at.wall(), view.now)) " " b { (row.name) } " " (describe(change)) }
                }
            }
        }
    }
}

/// The changes of one check, the newest first.
pub(super) fn list<'a>(changes: impl Iterator<Item = &'a Change>, now: Moment) -> Markup {
    html! {
        ol .changes {
            @for change in changes { li { (time(change.at.wall(), now)) " " (describe(change)) } }
        }
    }
}

fn describe(change: &Change) -> Markup {
    html! {
        @match &change.line {
            Some(line) => { span .bad { "✕" } " " code { (clean(line)) } },
            None => { span .ok { "✓" } " works again after " (age(change.lasted())) },
        }
    }
}
