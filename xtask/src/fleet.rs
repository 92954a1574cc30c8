//! `fleet`: runs many gateways that share results, under faults, or simulates them.

use std::process::Command;

use stack::{Backends, Error, Result};

use crate::{bench, program, release};

/// The maximum number of gateways that are started.
const MAX_GATEWAYS: u32 = 1000;

/// Prints what the servers saw of the fleet; more runs than those of one gateway, and a wrong or late answer, are errors.
pub(crate) fn run(simulated: bool, replicas: u32, minutes: u64, seed: Option<u64>) -> Result<()> {
    if !simulated && replicas > MAX_GATEWAYS {
        return Err(Error::new(format!("more than {MAX_GATEWAYS} gateways can only be simulated")));
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
    let defect = "the fleet found a defect, which its last line names";
    program::run(&mut command, "fleet", seed, defect)
}
