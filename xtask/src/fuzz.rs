//! `fuzz`: mutates the kept corpus of what callers, operators and servers send.

use std::process::Command;

use stack::Result;

use crate::{cargo, program, release};

/// Prints the table of targets; a panic, a hang, too much memory and a leaked secret are errors.
pub(crate) fn run(minutes: u64, targets: &[String], seed: Option<u64>) -> Result<()> {
    let build = ["build", "--profile", "fuzz", "--locked", "--package", "fuzz"];
    cargo::run(&mut cargo::cargo(&build))?;
    let folder = release::target_folder()?;
    let mut command = Command::new(folder.join("fuzz/fuzz"));
    command.args(["--minutes", &minutes.to_string()]);
    command.arg("--findings").arg(folder.join("fuzz-findings"));
    for target in targets {
        command.args(["--target", target]);
    }
    let defect = "the fuzzer found a defect, with its input in the file named above";
    program::run(&mut command, "fuzzer", seed, defect)
}
