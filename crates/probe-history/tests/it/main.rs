//! The probe against a whole pipeline of its own: localstack, the history service and `ClickHouse`, each broken in every way that matters.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod bus;
mod connection;
mod credentials;
mod database;
mod destination;
mod promises;
mod rule;
mod service;
mod settings;
mod stage;
mod working;
