//! `cargo deny` as far as it works without its database of advisories.

use std::path::PathBuf;
use std::process::Command;

use stack::Result;

use crate::cargo;

/// The one that is used; the prebuilt ones for Python are too old to read what today's cargo says.
const VERSION: &str = "0.20.2";

/// Checks bans, licenses and sources by `deny.toml`, after building the tool if it is missing.
pub(crate) fn check() -> Result<()> {
    let folder = stack::state().join("cargo-deny").join(VERSION);
    let program = folder.join("bin/cargo-deny");
    if !program.exists() {
        install(&folder)?;
    }
    // It looks at the sources of all crates, those that this machine never builds included.
    cargo::run(&mut cargo::cargo(&["fetch", "--locked", "--quiet"]))?;
    let mut deny = Command::new(program);
    deny.args(["--offline", "--locked", "check", "bans", "licenses", "sources"]);
    cargo::run(deny.current_dir(stack::workspace()))
}

/// A development build, which takes two minutes in place of ten.
fn install(folder: &PathBuf) -> Result<()> {
    eprintln!("building cargo-deny {VERSION}, which takes a few minutes, once");
    let mut install = cargo::cargo(&["install", "cargo-deny", "--version", VERSION]);
    install.args(["--locked", "--debug", "--root"]).arg(folder);
    cargo::run(install.env("CARGO_PROFILE_DEV_DEBUG", "0"))
}
