//! `fleet`: runs many gateways that share results, under faults.

use std::process::{Command, Stdio};

use stack::{Backends, Error, Result};

use crate::{bench, release};

/// Prints what the servers saw of the fleet; more runs than those of one gateway, and a wrong or late answer, are errors.
pub(crate) fn run(replicas: usize, minutes: u64, seed: Option<u64>) -> Result<()> {
    let gateway = release::binary()?;
    let bench = bench::binary()?;
    // All of its servers are private.
    Backends::named(&["postgres".to_owned(), "redis".to_owned()]).install()?;
    let mut command = Command::new(bench);
    command.arg("fleet").arg("--gateway").arg(gateway).stdin(Stdio::null());
    command.args(["--replicas", &replicas.to_string(), "--minutes", &minutes.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status =
        command.status().map_err(|error| Error::new(format!("start the fleet: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Error::new("the fleet found a defect, which its last line names")),
        _ => Err(Error::new("the fleet could not be run")),
    }
}
