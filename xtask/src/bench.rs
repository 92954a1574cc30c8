//! `bench`: measures the release binary against its bounds and a peer, on the real backends.

use std::path::{Path, PathBuf};
use std::process::Command;

use stack::{Backends, Mode, Result};

use crate::{cargo, program, release};

/// Prints the table of figures; a bound that is missed by more than the noise is an error.
pub(crate) fn run(json: Option<&Path>, only: &[String]) -> Result<()> {
    let gateway = release::binary()?;
    let bench = binary()?;
    stack::up(&Backends::all(), Mode::Automatic)?;
    // Some rows have private servers.
    let private = ["celery", "postgres", "rabbit", "redis"].map(str::to_owned);
    Backends::named(&private).install()?;
    let mut command = Command::new(bench);
    command.arg("run").arg("--gateway").arg(gateway);
    for row in only {
        command.args(["--only", row]);
    }
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    program::run(&mut command, "bench", None, "a bound is missed by more than the noise")
}

/// Builds the bench, and returns its path.
pub(crate) fn binary() -> Result<PathBuf> {
    cargo::run(&mut cargo::cargo(&["build", "--release", "--locked", "--package", "bench"]))?;
    Ok(release::target_folder()?.join("release/bench"))
}
