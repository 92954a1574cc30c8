//! `fuzz`: mutates the kept corpus of what callers, operators and servers send.

use std::process::{Command, Stdio};

use stack::{Error, Result};

use crate::{cargo, release};

/// Prints the table of targets; a panic, a hang, too much memory and a leaked secret are errors.
pub(crate) fn run(minutes: u64, targets: &[String], seed: Option<u64>) -> Result<()> {
    cargo::run(&mut cargo::cargo(&["build", "--locked", "--package", "fuzz"]))?;
    let folder = release::target_folder()?;
    let mut command = Command::new(folder.join("debug/fuzz"));
    command.args(["--minutes", &minutes.to_string()]).stdin(Stdio::null());
    command.arg("--findings").arg(folder.join("fuzz-findings"));
    for target in targets {
        command.args(["--target", target]);
    }
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status =
        command.status().map_err(|error| Error::new(format!("start the fuzzer: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => {
            Err(Error::new("the fuzzer found a defect, with its input in the file named above"))
        }
        _ => Err(Error::new("the fuzzer could not be run")),
    }
}
