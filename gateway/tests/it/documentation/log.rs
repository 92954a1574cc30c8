//! The log: the table of messages, compared with the calls that log them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::page::{Page, in_code};

/// The fields of each message, by the message and its level. Debug messages are never shown.
type Events = BTreeMap<(String, String), BTreeSet<String>>;

#[test]
fn every_log_message_is_documented_with_its_level_and_fields() {
    assert_eq!(documented(), logged());
}

fn documented() -> Events {
    let page = Page::read("docs/log.md");
    let tables = page.tables(&["message", "level", "fields", "meaning"]);
    let rows = tables.iter().flat_map(|table| &table.rows);
    let event = |cells: &Vec<String>| {
        let message = in_code(&cells[0]).next().unwrap_or_default().to_owned();
        ((message, cells[1].clone()), in_code(&cells[2]).map(ToOwned::to_owned).collect())
    };
    rows.map(event).collect()
}

fn logged() -> Events {
    let mut events = Events::new();
    for folder in ["gateway/src", "crates"] {
        collect(&stack::workspace().join(folder), &mut events);
    }
    assert!(!events.is_empty(), "no call was found");
    events
}

fn collect(path: &Path, events: &mut Events) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), events);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        collect_calls(&fs::read_to_string(path).unwrap(), events);
    }
}

fn collect_calls(code: &str, events: &mut Events) {
    for level in ["error", "warn", "info"] {
        for call in code.split(&format!("tracing::{level}!(")).skip(1) {
            let mut arguments = arguments(call);
            let message = arguments.pop().unwrap_or_default().trim_matches('"').to_owned();
            let fields = arguments.into_iter().filter_map(|field| field.split('=').next());
            let fields = fields.map(|name| name.trim().trim_start_matches(['%', '?']).to_owned());
            events.entry((message, level.to_owned())).or_default().extend(fields);
        }
    }
}

/// The arguments of a call, up to its closing parenthesis.
fn arguments(call: &str) -> Vec<&str> {
    let (mut depth, mut in_string, mut start) = (0, false, 0);
    let mut arguments = Vec::new();
    for (at, c) in call.char_indices() {
        let is_end = c == ')' && depth == 0;
        match c {
            '"' => in_string = !in_string,
            _ if in_string => {}
            ',' | ')' if depth == 0 => {
                arguments.push(call[start..at].trim());
                start = at + 1;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if is_end && !in_string {
            break;
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}
