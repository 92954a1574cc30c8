//! Which keys the program asks for, found out by reading every example, and whatever differs from one in a single key.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway::config::{LoadContext, SecretCache, key_usages};
use gateway::kinds::KINDS;
use probe::config::{FromNode as _, KeyUsage, Node, Requirement, Value};
use probe::{GATEWAY_KEYS, SharedResources};

use super::{Keys, Place, examples};

/// Every key that is asked for.
pub(super) fn keys() -> Keys {
    let empty = KINDS.iter().map(|kind| format!("[{}]\n", kind.name));
    let texts = examples::all().into_iter().map(|(_, text)| text).chain(empty);
    let mut keys = Keys::new();
    for text in texts {
        let written = Reading::of(Node::parse(&text).unwrap());
        for reading in written.neighbours().into_iter().map(Reading::of).chain([written]) {
            for asked in &reading.asked {
                keys.entry(reading.place(asked)).or_default().insert(asked.requirement.clone());
            }
        }
    }
    for ((table, key), needs) in &keys {
        let below = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
        let is_read = || keys.keys().any(|(table, _)| table.starts_with(&below));
        assert!(
            !needs.contains(&Requirement::Tables) || is_read(),
            "no example has a table [{below}]"
        );
    }
    keys
}

/// The keys that are written in any of these examples.
pub(super) fn written(examples: &[(String, String)]) -> BTreeSet<Place> {
    let mut places = BTreeSet::new();
    for (_, text) in examples {
        let reading = Reading::of(Node::parse(text).unwrap());
        let is_written = |asked: &&KeyUsage| {
            let table = Some(&reading.root).filter(|_| asked.table.is_empty());
            let table = table.or_else(|| find(&reading.root, &asked.table));
            table.is_some_and(|table| table.get(asked.key).is_some())
        };
        places.extend(reading.asked.iter().filter(is_written).map(|asked| reading.place(asked)));
    }
    places
}

/// The duration that is written so.
pub(super) fn duration(text: &str) -> Option<Duration> {
    Duration::from_node(&Node { line: 1, value: Value::String(text.to_owned()) }).ok()
}

/// A file, and what is asked for when it is read.
struct Reading {
    root: Node,
    asked: Vec<KeyUsage>,
}

impl Reading {
    fn of(root: Node) -> Self {
        let env = |_: &str| Some("eu-central-1".to_owned());
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        Self { asked: key_usages(root.clone(), context), root }
    }

    /// Every file in which one key is written that is not written here, or is not written that is, or holds another of its words.
    fn neighbours(&self) -> Vec<Node> {
        let distinct: BTreeSet<_> = self.asked.iter().collect();
        distinct.into_iter().flat_map(|asked| self.changed(asked)).collect()
    }

    fn changed(&self, asked: &KeyUsage) -> Vec<Node> {
        let mut values = match &asked.requirement {
            Requirement::OneOf(words) => words.clone(),
            _ => vec![String::new()],
        };
        let mut changed = Vec::new();
        values.dedup();
        for value in values.into_iter().map(|text| Some(Value::String(text))).chain([None]) {
            let mut root = self.root.clone();
            let table = if asked.table.is_empty() {
                Some(&mut root)
            } else {
                find_mut(&mut root, &asked.table)
            };
            if let Some(Value::Table(entries)) = table.map(|table| &mut table.value) {
                entries.retain(|(key, _)| key != asked.key);
                entries.extend(value.map(|value| (asked.key.to_owned(), Node { line: 1, value })));
                changed.push(root);
            }
        }
        changed
    }

    /// Where the documentation tells about it: under the kind in place of the section's name, and with names of the user's own left open.
    fn place(&self, asked: &KeyUsage) -> Place {
        let key = asked.key.to_owned();
        let is_section = self.root.get(&asked.table).is_some();
        if is_section && GATEWAY_KEYS.contains(&asked.key) {
            return ("<section>".to_owned(), key);
        }
        let table = self.table(&asked.table);
        match table.split_once(".checks.") {
            Some((_, name)) => (format!("<section>.checks.{name}"), key),
            None => (table, key),
        }
    }

    fn table(&self, path: &str) -> String {
        let Some((name, section)) = child(&self.root, path) else { return String::new() };
        let kind = section.get("kind").map_or(name, |kind| match &kind.value {
            Value::String(kind) => kind,
            _ => name,
        });
        let (mut table, mut at, mut node) = (kind.to_owned(), name.len(), Some(section));
        while at < path.len() {
            let rest = &path[at + 1..];
            let (key, below) = match node.and_then(|node| child(node, rest)) {
                Some((key, below)) => (key, Some(below)),
                None => (rest, None),
            };
            let is_key = |asked: &KeyUsage| asked.table == path[..at] && asked.key == key;
            table.push('.');
            table.push_str(if self.asked.iter().any(is_key) { key } else { "<name>" });
            (at, node) = (at + 1 + key.len(), below);
        }
        table
    }
}

/// The entry of `node` that `path` begins with; names may have dots themselves.
fn child<'a>(node: &'a Node, path: &str) -> Option<(&'a str, &'a Node)> {
    let begins = |key: &str| {
        path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let entries = node.entries().iter().filter(|(key, _)| begins(key));
    let entry = entries.max_by_key(|(key, _)| key.len());
    entry.map(|(key, node)| (key.as_str(), node))
}

fn find<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    let (key, below) = child(node, path)?;
    if key.len() == path.len() { Some(below) } else { find(below, &path[key.len() + 1..]) }
}

fn find_mut<'a>(node: &'a mut Node, path: &str) -> Option<&'a mut Node> {
    let key = child(node, path)?.0.to_owned();
    let Value::Table(entries) = &mut node.value else { return None };
    let below = entries.iter_mut().find(|(known, _)| *known == key).map(|(_, below)| below)?;
    if key.len() == path.len() { Some(below) } else { find_mut(below, &path[key.len() + 1..]) }
}
