//! Runs a program of the project that exits with 1 if it finds a defect.

use std::process::{Command, Stdio};

use stack::{Error, Result};

/// Runs the `command` of the program `name`, with the `seed` of its random choices if there is one. `defect` is the error if it finds one.
pub(crate) fn run(
    command: &mut Command,
    name: &str,
    seed: Option<u64>,
    defect: &str,
) -> Result<()> {
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    let status = command.stdin(Stdio::null()).status();
    match status.map_err(|error| Error::new(format!("start the {name}: {error}")))?.code() {
        Some(0) => Ok(()),
        Some(1) => Err(Error::new(defect)),
        _ => Err(Error::new(format!("the {name} could not be run"))),
    }
}
