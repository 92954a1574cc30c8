//! One block for each cause: checks that fail in the same step for the same reason at the same target.

use maud::{Markup, html};

use super::text::{ago, clean};
use super::view::{Row, View};

pub(super) fn causes(view: &View<'_>) -> Markup {
    html! {
        @for rows in groups(view) {
            @let (mark, word, class) = rows[0].rank.mark();
            section .cause .(class) {
                h2 {
                    span aria-hidden="true" { (mark) " " }
                    @match rows.len() {
                        1 => { (rows[0].name) " is " (word) },
                        count => { "One cause for " (count) " checks" },
                    }
                    @if let Some(since) = rows.iter().filter_map(|row| row.since()).min() {
                        " since " (ago(since, view.now))
                    }
                }
                p { code { (clean(&rows[0].result.status)) } }
                @if rows.len() > 1 {
                    ul .names {
                        @for row in rows { li { a href={ "#" (row.id("check")) } { (row.name) } } }
                    }
                }
            }
        }
    }
}

/// The failing checks by their causes, the most important ones first.
fn groups<'v, 'a>(view: &'v View<'a>) -> Vec<Vec<&'v Row<'a>>> {
    let mut groups: Vec<(u64, Vec<&Row<'_>>)> = Vec::new();
    for row in view.rows.iter().filter(|row| row.is_failing()) {
        let cause = row.cause();
        match groups.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, rows)) => rows.push(row),
            None => groups.push((cause, vec![row])),
        }
    }
    groups.into_iter().map(|(_, rows)| rows).collect()
}
