//! Builds the release binary of the gateway, which is static.

use std::path::PathBuf;

use stack::{Error, Result};

use crate::cargo;

/// Builds the binary with the command of the `Dockerfile`, and returns its path.
pub(crate) fn binary() -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let args = ["build", "--release", "--locked", "--target", &target, "--package", "gateway"];
    cargo::run(cargo::cargo(&args).env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    Ok(target_folder()?.join(target).join("release/health-gateway"))
}

/// Returns cargo's target folder.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let own = std::env::current_exe()
        .map_err(|error| Error::new(format!("find our own executable: {error}")))?;
    // The running executable is `<target folder>/debug/xtask`.
    Ok(own.ancestors().nth(2).unwrap_or(&own).to_owned())
}
