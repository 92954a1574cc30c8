//! The page on reliability: every command in its tables names a test or a task that exists.

use std::fs;
use std::path::{Path, PathBuf};

use super::page::{Page, in_code};

const COLUMNS: [&str; 4] = ["condition", "what happens", "figure", "proof"];

#[test]
fn every_proof_of_the_page_on_reliability_exists() {
    let tables = Page::read("docs/reliability.md").tables(&COLUMNS);
    let rows: Vec<_> = tables.iter().flat_map(|table| &table.rows).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    for row in rows {
        assert_eq!(row.len(), COLUMNS.len(), "{row:?}");
        let proofs: Vec<_> = in_code(&row[3]).collect();
        assert!(!proofs.is_empty(), "`{}` has no proof", row[0]);
        for proof in proofs {
            assert!(exists(proof), "`{}`: no such test or task: {proof}", row[0]);
        }
    }
}

#[test]
fn a_proof_must_name_a_test_of_its_file() {
    let name = "documentation::reliability::a_proof_must_name_a_test_of_its_file";
    assert!(exists(&format!("cargo test -p gateway --test it {name}")));
    assert!(exists(
        "cargo test -p gateway --lib runtime::tests::shutdown_does_not_wait_for_blocked_threads"
    ));
    assert!(exists("cargo xtask soak --minutes 30"));
    for missing in [
        "cargo test -p gateway --test it documentation::reliability::a_proof",
        "cargo test -p gateway --test it documentation::a_proof_must_name_a_test_of_its_file",
        // It exists, and is no test.
        "cargo test -p gateway --test it documentation::reliability::exists",
        "cargo xtask boil",
        "true",
    ] {
        assert!(!exists(missing), "{missing}");
    }
}

/// Whether the test or the task that a command names exists.
fn exists(command: &str) -> bool {
    match command.split(' ').collect::<Vec<_>>().as_slice() {
        ["cargo", "test", "-p", name, "--test", "it", test] => {
            is_test(&package(name).join("tests/it"), test)
        }
        ["cargo", "test", "-p", name, "--lib", test] => is_test(&package(name).join("src"), test),
        ["cargo", "xtask", task, ..] => {
            stack::workspace().join(format!("xtask/src/{task}.rs")).exists()
        }
        _ => false,
    }
}

fn package(name: &str) -> PathBuf {
    let folder = stack::workspace().join(name);
    if folder.exists() { folder } else { stack::workspace().join("crates").join(name) }
}

/// Whether `path`, such as `module::name`, is a test in the file of its module below `root`.
fn is_test(root: &Path, path: &str) -> bool {
    let mut modules: Vec<_> = path.split("::").collect();
    let Some(name) = modules.pop() else { return false };
    let folder = root.join(modules.join("/"));
    let mut files = vec![folder.join("mod.rs"), folder.with_extension("rs")];
    match modules.last() {
        // A module inside of its file.
        Some(&"tests") => files.extend(folder.parent().map(|it| it.with_extension("rs"))),
        Some(_) => {}
        None => files = vec![root.join("main.rs")],
    }
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| {
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        let is_name = |line: &str| {
            let function = line.trim_start_matches("async ").strip_prefix("fn ");
            function.is_some_and(|rest| rest.starts_with(&format!("{name}(")))
        };
        let is_attribute = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
        let above = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let mut found = (0..lines.len()).filter(|at| is_name(lines[*at]));
        found.any(|at| above(at).any(|line| is_attribute(line)))
    })
}
