//! The gateway as it is delivered: one static binary, built on this machine.

use std::path::PathBuf;

use stack::{Error, Result};

use crate::cargo;

/// Builds it by the same command as the `Dockerfile` does, and gives its file.
pub(crate) fn binary() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let args = ["build", "--release", "--locked", "--target", &target, "--package", "gateway"];
    cargo::run(cargo::cargo(&args).env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    Ok(built()?.join(target).join("release/health-gateway"))
}

/// The folder in which cargo builds.
pub(crate) fn built() -> Result<PathBuf> {
    let own = std::env::current_exe()
        .map_err(|error| Error::new(format!("find our own program: {error}")))?;
    // We are `<target folder>/debug/xtask`.
    Ok(own.ancestors().nth(2).unwrap_or(&own).to_owned())
}
