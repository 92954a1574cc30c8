//! Runs `cargo deny`, without the checks that need the advisory database.

use std::path::PathBuf;
use std::process::Command;

use stack::Result;

use crate::cargo;

/// The version that is built here; the prebuilt Python packages are too old for the output of the current `cargo metadata`.
const VERSION: &str = "0.20.2";

/// Checks bans, licenses and sources against `deny.toml`; builds the tool if it is missing.
pub(crate) fn check() -> Result<()> {
    let folder = stack::state().join("cargo-deny").join(VERSION);
    let program = folder.join("bin/cargo-deny");
    if !program.exists() {
        install(&folder)?;
    }
    // The check reads the sources of all crates, including those for other platforms.
    cargo::run(&mut cargo::cargo(&["fetch", "--locked", "--quiet"]))?;
    let mut deny = Command::new(program);
    deny.args(["--offline", "--locked", "check", "bans", "licenses", "sources"]);
    cargo::run(deny.current_dir(stack::workspace()))
}

/// Installs a debug build, which takes two minutes instead of ten.
fn install(folder: &PathBuf) -> Result<()> {
    eprintln!("building cargo-deny {VERSION} once, which takes a few minutes");
    let mut install = cargo::cargo(&["install", "cargo-deny", "--version", VERSION]);
    install.args(["--locked", "--debug", "--root"]).arg(folder);
    cargo::run(install.env("CARGO_PROFILE_DEV_DEBUG", "0"))
}
