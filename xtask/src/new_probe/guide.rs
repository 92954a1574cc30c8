//! Applies the files and diffs of `docs/adding-a-probe.md` to a copy of the workspace.

use std::path::Path;

use super::write;
use crate::files::read;

/// Applies every change that the guide shows, in its order.
///
/// A file is a block after a line that contains only its path as code and a colon.
/// A diff names its files as `git diff` does; its hunks begin with `@@` and have no line numbers.
pub(super) fn apply(guide: &str, root: &Path) {
    let mut lines = guide.lines();
    let mut path = None;
    while let Some(line) = lines.next() {
        if let Some((fence, language)) = fence(line) {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != fence).collect();
            match (language, path.take()) {
                ("diff", _) => apply_diff(&block, root),
                (_, Some(path)) => write(&root.join(path), &(block.join("\n") + "\n")).unwrap(),
                (_, None) => {}
            }
        } else if !line.is_empty() {
            path = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:"));
        }
    }
}

/// The backticks that begin a block, and the language after them.
fn fence(line: &str) -> Option<(&str, &str)> {
    line.starts_with("```").then(|| line.split_at(line.len() - line.trim_start_matches('`').len()))
}

fn apply_diff(block: &[&str], root: &Path) {
    let mut path = None;
    let mut hunks: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in block {
        match (line.strip_prefix("+++ b/"), path) {
            (Some(new), _) => path = Some(new),
            (None, _) if line.starts_with("--- a/") => {}
            (None, Some(path)) if *line == "@@" => hunks.push((path, Vec::new())),
            (None, _) => hunks.last_mut().expect("a hunk begins with `@@`").1.push(line),
        }
    }
    for (path, hunk) in hunks {
        let file = root.join(path);
        let text = read(&file).unwrap();
        write(&file, &apply_hunk(&text, &hunk).unwrap_or_else(|why| panic!("{path}: {why}")))
            .unwrap();
    }
}

/// Replaces the hunk's old lines, which must be in the text exactly once.
fn apply_hunk(text: &str, hunk: &[&str]) -> Result<String, String> {
    let without = |sign: char| -> String {
        let lines = hunk.iter().filter(|line| !line.starts_with(sign));
        let lines = lines.flat_map(|line| ["\n", line.get(1..).unwrap_or_default()]);
        lines.chain(["\n"]).collect()
    };
    let (old, new) = (without('+'), without('-'));
    // Lines are compared as a whole, the first one included.
    let text = format!("\n{text}");
    match text.matches(&old).count() {
        1 => Ok(text.replacen(&old, &new, 1)[1..].to_owned()),
        count => Err(format!("expected these lines once, found them {count} times:{old}")),
    }
}

#[test]
fn a_hunk_replaces_lines_that_are_there_once() {
    let hunk = [" a", "-b", "+B", "", "+c"];
    assert_eq!(apply_hunk("a\nb\n\nd\n", &hunk).as_deref(), Ok("a\nB\n\nc\nd\n"));
    assert!(apply_hunk("a\nbb\n\nd\n", &hunk).is_err());
    assert!(apply_hunk("a\na\n", &[" a", "+b"]).is_ok_and(|text| text == "a\nb\na\n"));
    assert!(apply_hunk("a\nx\na\n", &[" a", "+b"]).is_err());
}
