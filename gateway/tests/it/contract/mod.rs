//! The contract with callers, `docs/endpoint.md`, held up to the face with a stand-in for what is behind it.
#![expect(clippy::expect_used, reason = "a test fails by panicking, in its helpers as well")]

mod client;
mod connections;
mod hanging_up;
mod log;
mod preferences;
mod recorded;
mod secrecy;
mod shutdown;
mod stand_in;
mod tables;
