//! `fleet`: runs many gateways that share results, under faults, or simulates them.

use std::process::{Command, Stdio};

use stack::{Backends, Error, Result};

use crate::{bench, release};

/// The most processes that are started.
const MOST: u32 = 1000;

/// Prints what the servers saw of the fleet; more runs than those of one gateway, and a wrong or late answer, are errors.
pub(crate) fn run(simulated: bool, replicas: u32, minutes: u64, seed: Option<u64>) -> Result<()> {
    if !simulated && replicas > MOST {
        return Err(Error::new(format!("more than {MOST} gateways can only be simulated")));
    }
    let mut command = Command::new(bench::binary()?);
    if simulated {
        command.arg("simulate");
    } else {
        command.arg("fleet").arg("--gateway").arg(release::binary()?);
        // All of its servers are private.
        Backends::named(&["postgres".to_owned(), "redis".to_owned()]).install()?;
    }
    command.args(["--replicas", &replicas.to_string(), "--minutes", &minutes.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status = command.stdin(Stdio::null()).status();
    match status.map_err(|error| Error::new(format!("start the fleet: {error}")))?.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Error::new("the fleet found a defect, which its last line names")),
        _ => Err(Error::new("the fleet could not be run")),
    }
}
