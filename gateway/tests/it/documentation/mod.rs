//! The documentation, compared with the program: every key, every option, every example.

mod code;
mod command_line;
mod examples;
mod page;

use std::collections::{BTreeMap, BTreeSet};

use gateway::kinds::KINDS;
use probe::config::Requirement;

use self::page::{Page, Row, in_code};

/// The table and the key.
type Place = (String, String);

/// What is read, and what it means that it is not written.
type Keys = BTreeMap<Place, BTreeSet<Requirement>>;

fn configuration() -> Page {
    Page::read("docs/configuration.md")
}

#[test]
fn every_key_is_documented_with_its_default_and_every_documented_key_is_read() {
    let (read, told) = (code::keys(), configuration().keys());
    let mut wrong = Vec::new();
    for (place @ (table, key), needs) in &read {
        let fault = match told.get(place) {
            None => Some("is read and not documented".to_owned()),
            Some(row) => fault(row, needs),
        };
        wrong.extend(fault.map(|fault| format!("[{table}] `{key}`: {fault}")));
    }
    for (table, key) in told.keys().filter(|place| !read.contains_key(*place)) {
        wrong.push(format!("[{table}] `{key}`: is documented and not read"));
    }
    assert!(wrong.is_empty(), "docs/configuration.md:\n{}", wrong.join("\n"));
}

/// What a row says otherwise than the code.
fn fault(row: &Row, needs: &BTreeSet<Requirement>) -> Option<String> {
    let told = row.default.as_str();
    if needs.contains(&Requirement::Required) {
        let (right, expected) = match needs.len() {
            1 => (told == "required", "required"),
            _ => (told.starts_with("required for "), "required for ..."),
        };
        return (!right).then(|| format!("the default is `{told}`, expected `{expected}`"));
    }
    let defaults: BTreeSet<_> = needs.iter().filter_map(default).collect();
    let same = match told {
        "" => false,
        "empty" => defaults == [String::new()].into(),
        words => in_code(words).map(as_debug).collect::<BTreeSet<_>>() == defaults,
    };
    if !same {
        return Some(format!("the default is `{told}`, expected {defaults:?} as code"));
    }
    let explained: Vec<_> = in_code(told).chain(in_code(&row.meaning)).collect();
    let mut words = needs.iter().flat_map(|need| match need {
        Requirement::OneOf(words) => words.as_slice(),
        _ => &[],
    });
    let missing = words.find(|word| !explained.contains(&word.as_str()));
    missing.map(|word| format!("the word `{word}` is not explained"))
}

fn default(need: &Requirement) -> Option<String> {
    match need {
        Requirement::Default(text) => Some(text.trim_matches('"').to_owned()),
        Requirement::OneOf(words) => words.first().cloned(),
        Requirement::Required | Requirement::Optional | Requirement::Tables => None,
    }
}

/// A value as `Debug` writes it, which is not always what stands in a file.
fn as_debug(written: &str) -> String {
    code::duration(written).map_or(written.to_owned(), |duration| format!("{duration:?}"))
}

#[test]
fn every_documented_key_stands_in_an_example() {
    let page = configuration();
    let shown = code::written(&page.examples());
    for (row, places) in page.rows() {
        let is_shown = places.iter().any(|place| shown.contains(place));
        assert!(is_shown, "docs/configuration.md: no example has `{row}`");
    }
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
