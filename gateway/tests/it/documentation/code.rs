//! The keys that the program looks up, collected by reading every example and its variants.

use std::collections::BTreeSet;
use std::time::Duration;

use gateway::config::{LoadContext, SecretCache, key_usages};
use gateway::kinds::KINDS;
use probe::config::{FromNode as _, KeyUsage, Node, Requirement, Value};
use probe::{GATEWAY_KEYS, SharedResources};

use super::{KeyPath, Keys, examples};

/// Every key that is looked up.
pub(super) fn keys() -> Keys {
    let empty = KINDS.iter().map(|kind| format!("[{}]\n", kind.name));
    let texts = examples::all().into_iter().map(|(_, text)| text).chain(empty);
    let mut keys = Keys::new();
    for text in texts {
        let example = Reading::of(Node::parse(&text).unwrap());
        for reading in example.variants().into_iter().map(Reading::of).chain([example]) {
            for usage in &reading.usages {
                keys.entry(reading.path(usage)).or_default().insert(usage.requirement.clone());
            }
        }
    }
    for ((table, key), requirements) in &keys {
        let below = if table.is_empty() { key.clone() } else { format!("{table}.{key}") };
        let is_read = || keys.keys().any(|(table, _)| table.starts_with(&below));
        assert!(
            !requirements.contains(&Requirement::Tables) || is_read(),
            "no example has a table [{below}]"
        );
    }
    keys
}

/// The keys that are present in any of these examples.
pub(super) fn present_keys(examples: &[(String, String)]) -> BTreeSet<KeyPath> {
    let mut paths = BTreeSet::new();
    for (_, text) in examples {
        let reading = Reading::of(Node::parse(text).unwrap());
        let is_present = |usage: &&KeyUsage| {
            let table = Some(&reading.root).filter(|_| usage.table.is_empty());
            let table = table.or_else(|| find(&reading.root, &usage.table));
            table.is_some_and(|table| table.get(usage.key).is_some())
        };
        paths.extend(reading.usages.iter().filter(is_present).map(|usage| reading.path(usage)));
    }
    paths
}

/// Parses a duration as it is written in a file.
pub(super) fn duration(text: &str) -> Option<Duration> {
    Duration::from_node(&Node { line: 1, value: Value::String(text.to_owned()) }).ok()
}

/// A file, and the keys that are looked up while it is read.
struct Reading {
    root: Node,
    usages: Vec<KeyUsage>,
}

impl Reading {
    fn of(root: Node) -> Self {
        let env = |_: &str| Some("eu-central-1".to_owned());
        let context = LoadContext {
            env: &env,
            vault: &SecretCache::new(),
            shared: &SharedResources::default(),
        };
        Self { usages: key_usages(root.clone(), context), root }
    }

    /// Every file that differs in one key, which is added, removed, or set to another of its words.
    fn variants(&self) -> Vec<Node> {
        let distinct: BTreeSet<_> = self.usages.iter().collect();
        distinct.into_iter().flat_map(|usage| self.variants_of(usage)).collect()
    }

    fn variants_of(&self, usage: &KeyUsage) -> Vec<Node> {
        let mut values = match &usage.requirement {
            Requirement::OneOf(words) => words.clone(),
            _ => vec![String::new()],
        };
        let mut variants = Vec::new();
        values.dedup();
        for value in values.into_iter().map(|text| Some(Value::String(text))).chain([None]) {
            let mut root = self.root.clone();
            let table = if usage.table.is_empty() {
                Some(&mut root)
            } else {
                find_mut(&mut root, &usage.table)
            };
            if let Some(Value::Table(entries)) = table.map(|table| &mut table.value) {
                entries.retain(|(key, _)| key != usage.key);
                entries.extend(value.map(|value| (usage.key.to_owned(), Node { line: 1, value })));
                variants.push(root);
            }
        }
        variants
    }

    /// The path under which a key is documented: with the section's kind instead of its name, and `<name>` for names that the user chooses.
    fn path(&self, usage: &KeyUsage) -> KeyPath {
        let key = usage.key.to_owned();
        let is_section = self.root.get(&usage.table).is_some();
        if is_section && GATEWAY_KEYS.contains(&usage.key) {
            return ("<section>".to_owned(), key);
        }
        let table = self.table(&usage.table);
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
            let is_key = |usage: &KeyUsage| usage.table == path[..at] && usage.key == key;
            table.push('.');
            table.push_str(if self.usages.iter().any(is_key) { key } else { "<name>" });
            (at, node) = (at + 1 + key.len(), below);
        }
        table
    }
}

/// The entry of `node` that `path` begins with. A name may contain dots, so the longest match counts.
fn child<'a>(node: &'a Node, path: &str) -> Option<(&'a str, &'a Node)> {
    let is_prefix = |key: &str| {
        path.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let entries = node.entries().iter().filter(|(key, _)| is_prefix(key));
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
