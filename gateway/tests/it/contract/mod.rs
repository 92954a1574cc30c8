//! The contract of `docs/endpoint.md`, tested over sockets with a fake source of reports.
#![expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers as well")]

mod client;
mod connections;
mod deadlines;
mod disconnects;
mod fake_source;
mod log;
mod preferences;
mod recorded;
mod secrecy;
mod shutdown;
mod tables;
