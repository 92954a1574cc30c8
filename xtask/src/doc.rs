//! Builds the API documentation of all crates, without warnings.

use stack::Result;

use crate::cargo;

/// Fails on a broken link or any other warning of rustdoc.
pub(crate) fn check() -> Result<()> {
    let doc = ["doc", "--workspace", "--no-deps", "--all-features", "--locked"];
    cargo::run(cargo::cargo(&doc).env("RUSTDOCFLAGS", "-D warnings"))
}
