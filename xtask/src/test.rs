//! `test`: everything that must hold, in the order in which it fails fastest.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use stack::{Backends, Error, Result, Way};

use crate::workspace::Workspace;
use crate::{cargo, deny, doc, manifests};

/// Runs every step until one fails; the last line counts the tests.
pub(crate) fn everything(way: Way) -> Result<()> {
    lint()?;
    on(&Backends::all(), way, &["--workspace"])
}

/// Runs the tests of these crates on the backends that they need; the last line counts them.
pub(crate) fn crates(names: &[String], way: Way) -> Result<()> {
    let workspace = Workspace::read()?;
    let packages = workspace.named(names)?;
    let backends: Vec<_> =
        packages.iter().map(|package| package.backends()).collect::<Result<_>>()?;
    let chosen: Vec<_> = names.iter().flat_map(|name| ["--package", name]).collect();
    on(&Backends::named(&backends.concat()), way, &chosen)
}

/// Checks what needs no backends.
pub(crate) fn lint() -> Result<()> {
    step("format");
    cargo::run(&mut cargo::cargo(&["fmt", "--all", "--check"]))?;
    step("clippy");
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features", "--locked"];
    cargo::run(cargo::cargo(&clippy).args(["--", "-D", "warnings"]))?;
    step("the gateway without its optional probes");
    let bare = ["clippy", "--package", "gateway", "--no-default-features", "--locked"];
    cargo::run(cargo::cargo(&bare).args(["--", "-D", "warnings"]))?;
    step("documentation");
    doc::check()?;
    step("cargo deny");
    deny::check()?;
    step("manifests");
    manifests::check()
}

/// Brings these backends up, runs the tests of the chosen packages, and ends what was not up before.
fn on(backends: &Backends, way: Way, packages: &[&str]) -> Result<()> {
    step("backends");
    // Wherever the shared servers run, a test's own are native.
    backends.install()?;
    let started = stack::up(backends, way)?;
    step("tests");
    let counted = tests(packages);
    stack::down(&started)?;
    let (counts, passed) = counted?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if passed { Ok(()) } else { Err(Error::new("the tests failed")) }
}

fn step(name: &str) {
    eprintln!("\n== {name}");
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
}

impl Counts {
    /// Takes a line such as `test result: ok. 7 passed; 0 failed; 0 ignored; ...` into account.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else { return };
        let mut words = counts.split([' ', ';']).filter(|word| !word.is_empty()).peekable();
        while let Some(word) = words.next() {
            match (word.parse::<u64>(), words.peek()) {
                (Ok(count), Some(&"passed")) => self.passed += count,
                (Ok(count), Some(&"failed")) => self.failed += count,
                _ => {}
            }
        }
    }
}

/// Runs the tests of these packages and shows what they say; tells how many there were, and whether all is well.
fn tests(packages: &[&str]) -> Result<(Counts, bool)> {
    let args = [&["test", "--all-features", "--locked", "--no-fail-fast"], packages].concat();
    let failure = |error| Error::new(format!("`cargo test`: {error}"));
    let mut cargo = cargo::cargo(&args).stdout(Stdio::piped()).spawn().map_err(failure)?;
    let mut counts = Counts::default();
    if let Some(output) = cargo.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(failure)?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            counts.add(&line);
        }
    }
    let status = cargo.wait().map_err(failure)?;
    Ok((counts, status.success()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_programs_are_summed() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add("test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        assert_eq!(counts, Counts { passed: 8, failed: 2 });
    }
}
