//! `test` and `lint`: run all checks, the fastest first.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread;

use stack::{Backends, Error, Mode, Result};

use crate::workspace::Workspace;
use crate::{cargo, deny, doc, manifests};

/// The tests that take long are in modules of this name, and run on demand only. A faster test also notices most of what each of them notices.
const SLOW: &str = "slow::";

/// Runs all lints and tests until a step fails; the last line is the number of tests.
pub(crate) fn everything(mode: Mode, slow: bool) -> Result<()> {
    lint()?;
    run_tests(&Backends::all(), mode, &[command(&["--workspace"], &skipped(slow))])
}

/// Runs the tests of some crates with the backends that they need; the last line is the number of tests.
pub(crate) fn crates(names: &[String], mode: Mode, slow: bool) -> Result<()> {
    let workspace = Workspace::read()?;
    let packages = workspace.named(names)?;
    let backends: Vec<_> =
        packages.iter().map(|package| package.backends()).collect::<Result<_>>()?;
    let args: Vec<_> = names.iter().flat_map(|name| ["--package", name]).collect();
    run_tests(&Backends::named(&backends.concat()), mode, &[command(&args, &skipped(slow))])
}

/// Runs these tests of the target `it` of some crates, slow ones included; the last line is the number of tests.
pub(crate) fn named(tests: &BTreeMap<String, BTreeSet<String>>, mode: Mode) -> Result<()> {
    let workspace = Workspace::read()?;
    let names: Vec<_> = tests.keys().cloned().collect();
    let packages = workspace.named(&names)?;
    let backends: Vec<_> =
        packages.iter().map(|package| package.backends()).collect::<Result<_>>()?;
    let commands: Vec<_> = tests
        .iter()
        .map(|(name, tests)| {
            let exact: Vec<_> =
                ["--exact"].into_iter().chain(tests.iter().map(String::as_str)).collect();
            command(&["--package", name, "--test", "it"], &exact)
        })
        .collect();
    run_tests(&Backends::named(&backends.concat()), mode, &commands)
}

fn skipped(slow: bool) -> Vec<&'static str> {
    if slow { Vec::new() } else { vec!["--skip", SLOW] }
}

/// The arguments of `cargo` for the tests of some `packages`, with `options` of the test binaries.
fn command(packages: &[&str], options: &[&str]) -> Vec<String> {
    let test = ["test", "--all-features", "--locked", "--no-fail-fast"];
    let all = test.iter().chain(packages).chain(&["--"]).chain(options);
    all.map(|argument| (*argument).to_owned()).collect()
}

/// Runs the checks that need no backends.
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

/// Starts the backends, runs the `commands` of cargo, and stops the backends that it started.
fn run_tests(backends: &Backends, mode: Mode, commands: &[Vec<String>]) -> Result<()> {
    step("backends");
    // Private servers are always native.
    backends.install()?;
    let started = stack::up(backends, mode)?;
    step("tests");
    let result = cargo_tests(commands);
    stack::down(&started)?;
    let (counts, passed) = result?;
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
    /// Adds the numbers of a line such as `test result: ok. 7 passed; 0 failed; 0 ignored; ...`.
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

/// Runs the commands, also after a failure; returns the number of tests, and whether all passed.
fn cargo_tests(commands: &[Vec<String>]) -> Result<(Counts, bool)> {
    let (mut counts, mut all_passed) = (Counts::default(), true);
    for command in commands {
        all_passed &= cargo_test(command, &mut counts)?;
    }
    Ok((counts, all_passed))
}

/// Runs the tests of a command, prints their output and counts them; returns whether all passed.
fn cargo_test(args: &[String], counts: &mut Counts) -> Result<bool> {
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let failure = |error| Error::new(format!("`cargo test`: {error}"));
    let mut cargo = cargo::cargo(&args)
        .env("RUST_TEST_THREADS", test_threads().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failure)?;
    if let Some(output) = cargo.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(failure)?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            counts.add(&line);
        }
    }
    let status = cargo.wait().map_err(failure)?;
    Ok(status.success())
}

/// How many tests of one binary run at the same time: twice as many as there are processors, since most of them wait for servers.
fn test_threads() -> usize {
    thread::available_parallelism().map_or(2, |processors| 2 * processors.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_binaries_are_summed() {
        let mut counts = Counts::default();
        counts.add("running 3 tests");
        counts.add("test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        counts.add("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured");
        assert_eq!(counts, Counts { passed: 8, failed: 2 });
    }
}
