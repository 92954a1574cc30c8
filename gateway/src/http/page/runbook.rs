//! What the runbook says about a step that failed.

use std::fmt::Write as _;

use maud::Escaper;

/// `docs/runbook.md`, so that the page and the documentation say the same.
const RUNBOOK: &str = include_str!("../../../../docs/runbook.md");

/// The section with the steps that every backend has.
const EVERY_BACKEND: &str = "## Steps of every backend";

/// The row of a step, as HTML.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What the failure means.
    pub(super) meaning: String,
    /// What to try first.
    pub(super) first: String,
}

/// Returns the row of a step of a probe: in its own section, in one that this links to, or among those of every backend.
pub(super) fn entry(kind: &str, step: &str) -> Option<Entry> {
    let own = section(&format!("### `{kind}`")).unwrap_or_default();
    let links = own.split("](#").skip(1).filter_map(|rest| rest.split(')').next());
    let linked = links.filter_map(|kind| section(&format!("### `{kind}`")));
    let mut sections = std::iter::once(own).chain(linked).chain(section(EVERY_BACKEND));
    sections.find_map(|section| row(section, step))
}

/// The text below a heading.
fn section(heading: &str) -> Option<&'static str> {
    let start = RUNBOOK.find(&format!("\n{heading}\n"))? + heading.len() + 2;
    let text = &RUNBOOK[start..];
    Some(text.find("\n#").map_or(text, |end| &text[..end]))
}

fn row(section: &str, step: &str) -> Option<Entry> {
    let step = format!("`{step}`");
    section.lines().find_map(|line| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ");
        let mut steps = cells.next()?.split(", ");
        steps.any(|listed| listed == step).then_some(())?;
        Some(Entry { meaning: to_html(cells.next()?), first: to_html(cells.next()?) })
    })
}

/// Escapes a cell. Its only markup is code.
fn to_html(cell: &str) -> String {
    let mut html = String::new();
    for (at, part) in cell.split('`').enumerate() {
        let tags = if at % 2 == 0 { ("", "") } else { ("<code>", "</code>") };
        html.push_str(tags.0);
        let _infallible = write!(Escaper::new(&mut html), "{part}");
        html.push_str(tags.1);
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::KINDS;

    #[test]
    fn the_row_of_the_backend_goes_before_that_of_all() {
        let meaning = |kind, step| entry(kind, step).map(|entry| entry.meaning);
        let query = Some("the server does not answer a query".to_owned());
        assert_eq!(meaning("postgres", "query"), query);
        assert_eq!(
            meaning("history", "query"),
            Some("ClickHouse does not answer a query".to_owned())
        );
        assert!(meaning("postgres", "connect").is_some_and(|it| it.contains("(<code>connection ")));
        assert_eq!(
            meaning("cache", "write"),
            meaning("redis", "write"),
            "its section links to that"
        );
        assert_eq!(meaning("cache", "no such step"), None);
        for (kind, step) in [
            ("celery", "select"),
            ("celery", "virtual host"),
            ("history", "list"),
            ("cloud_front", "request"),
        ] {
            assert!(meaning(kind, step).is_some(), "{step} of a client that {kind} uses");
        }
    }

    #[test]
    fn every_kind_has_a_section_and_no_cell_has_markup_but_code() {
        for kind in KINDS {
            assert!(section(&format!("### `{}`", kind.name)).is_some(), "{}", kind.name);
        }
        for line in RUNBOOK.lines().filter(|line| line.starts_with("| `")) {
            assert!(!line.contains("](") && !line.contains("**"), "{line}");
        }
    }
}
