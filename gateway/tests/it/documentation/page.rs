//! A page of the documentation: its tables and its examples.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::KeyPath;

/// The heading of the settings outside of any section.
const TOP: &str = "settings-of-the-namespace";

/// A file of this workspace, in Markdown or with Markdown in the comments at its head.
pub(super) struct Page {
    name: String,
    lines: Vec<String>,
}

/// The documentation of a key.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) default: String,
    pub(super) meaning: String,
}

/// A table and its context.
pub(super) struct Table {
    /// The anchor of the heading above it.
    pub(super) anchor: String,
    /// The code at the beginning of the line before it.
    pub(super) label: Option<String>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Page {
    pub(super) fn read(file: &str) -> Self {
        let text = fs::read_to_string(stack::workspace().join(file));
        let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
        let is_code = Path::new(file).extension().is_some_and(|extension| extension == "rs");
        let line = |line: &str| match (is_code, line.strip_prefix("//!")) {
            (false, _) => line.to_owned(),
            (true, Some(comment)) => comment.strip_prefix(' ').unwrap_or(comment).to_owned(),
            (true, None) => String::new(),
        };
        Self { name: file.to_owned(), lines: text.lines().map(line).collect() }
    }

    pub(super) fn mentions(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// Every example in TOML, after its file and line.
    pub(super) fn examples(&self) -> Vec<(String, String)> {
        self.examples_among(&self.lines, 1)
    }

    /// The examples under the heading that is this word as code.
    pub(super) fn examples_below(&self, word: &str) -> Vec<(String, String)> {
        let heading = format!("### `{word}`");
        let below = self.lines.iter().position(|line| *line == heading);
        let below = below.unwrap_or_else(|| panic!("{}: no heading `{word}`", self.name)) + 1;
        let rest = &self.lines[below..];
        let end = rest.iter().position(|line| line.starts_with("## ") || line.starts_with("### "));
        self.examples_among(&rest[..end.unwrap_or(rest.len())], below + 1)
    }

    fn examples_among(&self, lines: &[String], first: usize) -> Vec<(String, String)> {
        let mut examples = Vec::new();
        let mut lines = lines.iter().zip(first..);
        while let Some((fence, number)) = lines.find(|(line, _)| line.starts_with("```")) {
            // Only TOML is checked. A longer fence contains Markdown that shows examples.
            let is_toml = fence == "```toml";
            let end = &fence[..fence.len() - fence.trim_start_matches('`').len()];
            let block = lines.by_ref().map(|(line, _)| line).take_while(|line| *line != end);
            let text: String = block.flat_map(|line| [line.as_str(), "\n"]).collect();
            if is_toml {
                examples.push((format!("{}:{number}", self.name), text));
            }
        }
        examples
    }

    /// Every table with these columns.
    pub(super) fn tables(&self, columns: &[&str]) -> Vec<Table> {
        let (mut anchor, mut before, mut tables) = (String::new(), "", Vec::<Table>::new());
        let (mut in_example, mut in_table) = (false, false);
        for line in &self.lines {
            in_example ^= line.starts_with("```");
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            if let Some(heading) = line.strip_prefix('#').filter(|_| !in_example) {
                anchor = heading.trim_matches(['#', ' ']).to_lowercase();
                anchor = anchor.replace(' ', "-").replace(['`', '\''], "");
            } else if cells == columns {
                in_table = true;
                let label = before.strip_prefix('`').and_then(|rest| rest.split_once('`'));
                let label = label.map(|(code, _)| code.to_owned());
                tables.push(Table { anchor: anchor.clone(), label, rows: Vec::new() });
            } else if in_table && line.starts_with("| ") && !line.starts_with("| ---") {
                let row = cells.into_iter().map(ToOwned::to_owned).collect();
                tables.last_mut().unwrap().rows.push(row);
            }
            in_table &= line.starts_with('|');
            before = if line.is_empty() { before } else { line };
        }
        tables
    }

    /// The documentation of each key. A table that links to another one inherits the rows that it does not have itself.
    pub(super) fn keys(&self) -> BTreeMap<KeyPath, Row> {
        let tables = self.tables(&["key", "default", "meaning"]);
        let mut keys = BTreeMap::new();
        for table in &tables {
            if let Some(section) = table.section() {
                for (key, row) in table.all_keys(&tables) {
                    keys.entry((section.clone(), key)).or_insert(row);
                }
            }
        }
        keys
    }

    /// Each row, with every key that it documents.
    pub(super) fn rows(&self) -> BTreeMap<String, BTreeSet<KeyPath>> {
        let tables = self.tables(&["key", "default", "meaning"]);
        let mut rows = BTreeMap::new();
        for table in &tables {
            for (key, _) in table.own_keys() {
                let sections = table.all_sections(&tables).into_iter();
                let paths = sections.map(|section| (section, key.clone())).collect();
                rows.insert(format!("{}: {key}", table.anchor), paths);
            }
        }
        rows
    }
}

impl Table {
    /// The section of a file that it documents, or `None` if other tables only link to it.
    fn section(&self) -> Option<String> {
        let label =
            self.label.as_ref().and_then(|label| label.strip_prefix('[')?.strip_suffix(']'));
        label.or((self.anchor == TOP).then_some("")).map(ToOwned::to_owned)
    }

    /// The section of this table, and the sections of all tables that link to it.
    fn all_sections(&self, all: &[Self]) -> Vec<String> {
        let mut sections: Vec<_> = self.section().into_iter().collect();
        for table in all.iter().filter(|table| table.links().any(|anchor| anchor == self.anchor)) {
            sections.extend(table.all_sections(all));
        }
        sections
    }

    fn own_keys(&self) -> Vec<(String, Row)> {
        let row = |cells: &[String]| Row { default: cells[1].clone(), meaning: cells[2].clone() };
        let keys = |cells: &Vec<String>| {
            let row = row(cells);
            in_code(&cells[0]).map(|key| (key.to_owned(), row.clone())).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(keys).collect()
    }

    /// The keys of this table, then the keys of the tables that it links to.
    fn all_keys(&self, all: &[Self]) -> Vec<(String, Row)> {
        let mut keys = self.own_keys();
        for anchor in self.links() {
            let other = all.iter().find(|table| table.anchor == anchor);
            keys.extend(other.unwrap_or_else(|| panic!("no table below #{anchor}")).all_keys(all));
        }
        keys
    }

    /// The anchors in its first column.
    fn links(&self) -> impl Iterator<Item = &str> {
        let first = self.rows.iter().filter_map(|cells| cells.first());
        first.filter_map(|cell| cell.split_once("](#")?.1.strip_suffix(')'))
    }
}

/// The pieces of code in a text.
pub(super) fn in_code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}
