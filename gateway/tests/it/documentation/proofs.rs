//! The commands that pages name as proofs: tests and tasks.

use std::fs;
use std::path::{Path, PathBuf};

/// Whether the test or the task that a command names exists.
pub(super) fn exists(command: &str) -> bool {
    match command.split(' ').collect::<Vec<_>>().as_slice() {
        ["cargo", "xtask", task, ..] => {
            stack::workspace().join(format!("xtask/src/{task}.rs")).exists()
        }
        _ => source(command).is_some(),
    }
}

/// The source of the file with the test that a command names, if it exists.
pub(super) fn source(command: &str) -> Option<String> {
    match command.split(' ').collect::<Vec<_>>().as_slice() {
        ["cargo", "test", "-p", name, "--test", "it", test] => {
            file_of(&package(name).join("tests/it"), test)
        }
        ["cargo", "test", "-p", name, "--lib", test]
        | ["cargo", "test", "-p", name, "--bin", _, test] => {
            file_of(&package(name).join("src"), test)
        }
        _ => None,
    }
}

fn package(name: &str) -> PathBuf {
    let folder = stack::workspace().join(name);
    if folder.exists() { folder } else { stack::workspace().join("crates").join(name) }
}

/// The text of the file below `root` in which `path`, such as `module::name`, is a test.
fn file_of(root: &Path, path: &str) -> Option<String> {
    let mut modules: Vec<_> = path.split("::").collect();
    let name = modules.pop()?;
    let folder = root.join(modules.join("/"));
    let mut files = vec![folder.join("mod.rs"), folder.with_extension("rs")];
    match modules.last() {
        // A module inside of its file.
        Some(&("tests" | "slow")) => {
            files.extend(folder.parent().map(|it| it.with_extension("rs")));
        }
        Some(_) => {}
        None => files = vec![root.join("main.rs")],
    }
    files.iter().filter_map(|file| fs::read_to_string(file).ok()).find(|text| has_test(text, name))
}

fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_name = |line: &str| {
        let function = line.trim_start_matches("async ").strip_prefix("fn ");
        function.is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    let is_attribute = |line: &str| line == "#[test]" || line.starts_with("#[tokio::test");
    let above = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let mut found = (0..lines.len()).filter(|at| is_name(lines[*at]));
    found.any(|at| above(at).any(|line| is_attribute(line)))
}

#[test]
fn a_proof_must_name_a_test_of_its_file() {
    let name = "documentation::proofs::a_proof_must_name_a_test_of_its_file";
    assert!(exists(&format!("cargo test -p gateway --test it {name}")));
    assert!(exists(
        "cargo test -p gateway --lib runtime::tests::shutdown_does_not_wait_for_blocked_threads"
    ));
    assert!(exists("cargo xtask soak --minutes 30"));
    for missing in [
        "cargo test -p gateway --test it documentation::proofs::a_proof",
        "cargo test -p gateway --test it documentation::a_proof_must_name_a_test_of_its_file",
        // This function exists, but is no test.
        "cargo test -p gateway --test it documentation::proofs::exists",
        "cargo xtask boil",
        "true",
    ] {
        assert!(!exists(missing), "{missing}");
    }
}
