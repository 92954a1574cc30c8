//! Tests sessions with real OpenBao servers, one for each test.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod boundaries;
mod fake_server;
mod fixtures;
mod kubernetes;
mod logins;
mod reading;
mod renewal;
mod settings;
