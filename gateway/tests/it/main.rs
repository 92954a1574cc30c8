//! Tests of the whole gateway, through its command line, its files and its endpoint.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot run must fail"
)]

mod admin;
mod clock;
mod command;
mod configuration;
mod contract;
mod documentation;
mod floods;
mod history;
mod intervals;
mod log;
mod memory;
mod metrics;
mod monitoring;
mod namespaces;
mod oneshot;
mod page;
mod permissions;
mod reloading;
mod report;
mod running;
mod secrets;
mod sharing;
mod silent_dns;
mod tokens;
