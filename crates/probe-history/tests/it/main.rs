//! Tests the probe with a private pipeline: localstack, the history service and `ClickHouse`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bus;
mod connection;
mod credentials;
mod database;
mod destination;
mod health_endpoint;
mod pipeline;
mod promises;
mod rule;
mod service;
mod settings;
mod working;
