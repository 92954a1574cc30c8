//! `soak`: runs the release binary under faults and rotations, and fails if anything grows.

use std::process::Command;

use stack::{Backends, Result};

use crate::{bench, program, release};

/// Prints the table of samples; growth, a malformed or late answer, a leaked secret and a crash are errors.
pub(crate) fn run(minutes: u64, seed: Option<u64>) -> Result<()> {
    let gateway = release::binary()?;
    let bench = bench::binary()?;
    // All of its servers are private.
    Backends::all().install()?;
    let mut command = Command::new(bench);
    command.arg("soak").arg("--gateway").arg(gateway);
    command.args(["--minutes", &minutes.to_string()]);
    program::run(&mut command, "soak", seed, "the soak found a defect, which its last line names")
}
