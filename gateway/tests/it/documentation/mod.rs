//! The documentation, compared with the program: keys, options, log messages and examples.

mod code;
mod command_line;
mod compatibility;
mod dashboard;
mod examples;
mod failures;
mod log;
mod metrics;
mod page;
mod proofs;
mod reliability;
mod runbook;

use std::collections::{BTreeMap, BTreeSet};

use gateway::config::REPORT_ORDER;
use gateway::kinds::KINDS;
use probe::config::Requirement;

use self::page::{Page, Row, in_code};

/// A table of the file and a key in it.
type KeyPath = (String, String);

/// The keys that are looked up, and what applies if they are absent.
type Keys = BTreeMap<KeyPath, BTreeSet<Requirement>>;

fn configuration() -> Page {
    Page::read("docs/configuration.md")
}

#[test]
fn every_key_is_documented_with_its_default_and_every_documented_key_is_read() {
    let (read, documented) = (code::keys(), configuration().keys());
    let mut mismatches = Vec::new();
    for (path @ (table, key), requirements) in &read {
        let mismatch = match documented.get(path) {
            None => Some("is read and not documented".to_owned()),
            Some(row) => mismatch(row, requirements),
        };
        mismatches.extend(mismatch.map(|mismatch| format!("[{table}] `{key}`: {mismatch}")));
    }
    for (table, key) in documented.keys().filter(|path| !read.contains_key(*path)) {
        mismatches.push(format!("[{table}] `{key}`: is documented and not read"));
    }
    assert!(mismatches.is_empty(), "docs/configuration.md:\n{}", mismatches.join("\n"));
}

/// How a row differs from the code.
fn mismatch(row: &Row, requirements: &BTreeSet<Requirement>) -> Option<String> {
    let documented = row.default.as_str();
    if requirements.contains(&Requirement::Required) {
        let (is_right, expected) = match requirements.len() {
            1 => (documented == "required", "required"),
            _ => (documented.starts_with("required for "), "required for ..."),
        };
        return (!is_right)
            .then(|| format!("the default is `{documented}`, expected `{expected}`"));
    }
    let defaults: BTreeSet<_> = requirements.iter().filter_map(default).collect();
    let is_same = match documented {
        "" => false,
        "empty" => defaults == [String::new()].into(),
        words => in_code(words).map(as_debug).collect::<BTreeSet<_>>() == defaults,
    };
    if !is_same {
        return Some(format!("the default is `{documented}`, expected {defaults:?} as code"));
    }
    let explained: Vec<_> = in_code(documented).chain(in_code(&row.meaning)).collect();
    let mut words = requirements.iter().flat_map(|requirement| match requirement {
        Requirement::OneOf(words) => words.as_slice(),
        _ => &[],
    });
    let missing = words.find(|word| !explained.contains(&word.as_str()));
    missing.map(|word| format!("the word `{word}` is not explained"))
}

fn default(requirement: &Requirement) -> Option<String> {
    match requirement {
        Requirement::Default(text) => Some(text.trim_matches('"').to_owned()),
        Requirement::OneOf(words) => words.first().cloned(),
        Requirement::Required | Requirement::Optional | Requirement::Tables => None,
    }
}

/// A value in its `Debug` format, which for a duration is not the format of the file.
fn as_debug(written: &str) -> String {
    code::duration(written).map_or(written.to_owned(), |duration| format!("{duration:?}"))
}

#[test]
fn every_documented_key_is_shown_in_an_example() {
    let page = configuration();
    let shown = code::present_keys(&page.examples());
    for (row, paths) in page.rows() {
        let is_shown = paths.iter().any(|path| shown.contains(path));
        assert!(is_shown, "docs/configuration.md: no example has `{row}`");
    }
}

#[test]
fn the_order_of_the_report_is_documented() {
    let names: Vec<_> = REPORT_ORDER.iter().map(|name| format!("`{name}`")).collect();
    let order = names.join(", ");
    assert!(configuration().mentions(&order), "docs/configuration.md: the order is {order}");
}

#[test]
fn every_probe_has_an_example_below_its_heading() {
    let page = configuration();
    for kind in KINDS {
        let examples = page.examples_below(kind.name);
        let has_own = examples.iter().any(|(_, text)| text.contains(&format!("[{}", kind.name)));
        assert!(has_own, "docs/configuration.md: {}", kind.name);
    }
}
