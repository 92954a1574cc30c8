//! Finds and replaces values in a configuration.

use probe::DynChecks;
use probe::config::{Node, Value};

use crate::checks;

/// The line number of every changed value.
pub(crate) const LINE: usize = 4711;

/// The keys from the section down to a value.
pub(crate) type Path = Vec<String>;

/// Every string under a key, with its path.
pub(crate) fn strings(node: &Node) -> Vec<(Path, String)> {
    let mut found = Vec::new();
    walk(node, &mut Vec::new(), &mut |path, node| {
        if let Value::String(text) = &node.value {
            found.push((path.clone(), text.clone()));
        }
    });
    found
}

/// Every table with its keys, and its path.
pub(crate) fn tables(node: &Node) -> Vec<(Path, Vec<String>)> {
    let mut found = Vec::new();
    walk(node, &mut Vec::new(), &mut |path, node| {
        if let Value::Table(entries) = &node.value {
            found.push((path.clone(), entries.iter().map(|(key, _)| key.clone()).collect()));
        }
    });
    found
}

/// `node` with `value` at `path`, replaced or added.
pub(crate) fn with(node: &Node, path: &[String], value: Value) -> Node {
    changed(node, path, &mut Some(Node { line: LINE, value }))
}

/// `node` without the value at `path`.
pub(crate) fn without(node: &Node, path: &[String]) -> Node {
    changed(node, path, &mut None)
}

/// The path of `key` in the table at `path`.
pub(crate) fn below(path: &[String], key: &str) -> Path {
    path.iter().cloned().chain([key.to_owned()]).collect()
}

/// `node` with every check of a group as a table, where it was a string that stands for its `url`.
pub(crate) fn in_long_form(node: &Node, component: &DynChecks) -> Node {
    checks(component).iter().fold(node.clone(), |node, (name, _)| {
        match node.get(name).map(|entry| entry.value.clone()) {
            Some(Value::String(url)) => {
                let url = Node { line: LINE, value: Value::String(url) };
                let table = Value::Table(vec![("url".to_owned(), url)]);
                with(&node, std::slice::from_ref(name), table)
            }
            _ => node,
        }
    })
}

fn walk(node: &Node, path: &mut Path, visit: &mut impl FnMut(&Path, &Node)) {
    visit(path, node);
    for (key, entry) in node.entries() {
        path.push(key.clone());
        walk(entry, path, visit);
        path.pop();
    }
}

fn changed(node: &Node, path: &[String], new: &mut Option<Node>) -> Node {
    let Some((key, rest)) = path.split_first() else {
        return new.take().unwrap_or_else(|| node.clone());
    };
    let mut entries = node.entries().to_vec();
    let position = entries.iter().position(|(known, _)| known == key);
    match (position, rest) {
        (Some(position), []) => match new.take() {
            Some(new) => entries[position].1 = new,
            None => drop(entries.remove(position)),
        },
        (Some(position), rest) => {
            entries[position].1 = changed(&entries[position].1, rest, new);
        }
        (None, _) => entries.extend(new.take().map(|new| (key.clone(), new))),
    }
    Node { line: node.line, value: Value::Table(entries) }
}
