//! The grants of the gateway's user on the shared servers.
//!
//! They are exactly what `health-gateway permissions` prints for the demo's configuration, so that every run on the stack shows that they suffice.
//!
//! `permissions.txt` is that output, except for the ID of the distribution, which differs each time. A test of the gateway compares the two.

use std::fmt::Display;

use crate::error::{Error, Result};

const PRINTED: &str = include_str!("permissions.txt");

/// Returns the statements under the headline `<system> at <server> for <user>`.
pub(crate) fn statements(system: &str, server: &impl Display, user: &str) -> Result<String> {
    let headline = format!("# {system} at {server} for {user}");
    let block = PRINTED.split("\n\n").find(|block| block.lines().next() == Some(&headline));
    let block = block.ok_or_else(|| Error::new(format!("permissions.txt: no `{headline}`")))?;
    let lines = block.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.flat_map(|line| [line, "\n"]).collect())
}
