//! `soak`: runs the release binary under faults and rotations, and fails if anything grows.

use std::process::{Command, Stdio};

use stack::{Backends, Error, Result};

use crate::{bench, release};

/// Prints the table of samples; growth, a malformed or late answer, a leaked secret and a crash are errors.
pub(crate) fn run(minutes: u64, seed: Option<u64>) -> Result<()> {
    let gateway = release::binary()?;
    let bench = bench::binary()?;
    // All of its servers are private.
    Backends::all().install()?;
    let mut command = Command::new(bench);
    command.arg("soak").arg("--gateway").arg(gateway).stdin(Stdio::null());
    command.args(["--minutes", &minutes.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status =
        command.status().map_err(|error| Error::new(format!("start the soak: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Error::new("the soak found a defect, which its last line names")),
        _ => Err(Error::new("the soak could not be run")),
    }
}
