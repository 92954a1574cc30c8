//! Sessions with real OpenBao servers, each test with one of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod bench;
mod boundaries;
mod kubernetes;
mod listener;
mod logins;
mod reading;
mod renewal;
mod settings;
