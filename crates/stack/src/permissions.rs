//! What the shared servers grant to the gateway: just what `health-gateway permissions` prints for the demo's configuration, so that whatever runs on them proves it to be enough.
//!
//! `permissions.txt` is that output as it is, but for the id of the distribution, which is another each time. A test of the gateway compares the two.

use std::fmt::Display;

use crate::error::{Error, Result};

const PRINTED: &str = include_str!("permissions.txt");

/// The statements under the headline `<system> at <server> for <user>`.
pub(crate) fn of(system: &str, server: &impl Display, user: &str) -> Result<String> {
    let headline = format!("# {system} at {server} for {user}");
    let block = PRINTED.split("\n\n").find(|block| block.lines().next() == Some(&headline));
    let block = block.ok_or_else(|| Error::new(format!("permissions.txt: no `{headline}`")))?;
    let statements = block.lines().filter(|line| !line.starts_with('#'));
    Ok(statements.flat_map(|line| [line, "\n"]).collect())
}
