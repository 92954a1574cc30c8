//! The client against real servers, both healthy and failing.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod cluster;
mod cutting;
mod encryption;
mod failures;
mod hostile;
mod sentinel;
mod sharing;
mod support;
mod urls;
