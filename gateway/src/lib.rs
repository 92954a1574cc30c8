//! health-gateway as a library: everything but the command line.
//!
//! A request goes from [`face`] (HTTP) to [`namespaces`] (whose token is it), to [`board`] (run the checks), to a probe's check.

pub mod board;
pub mod config;
pub mod face;
mod keeper;
pub mod kinds;
pub mod log;
pub mod namespace;
pub mod namespaces;
pub mod own_health;
pub mod permissions;
pub mod probing;
pub mod report;
pub mod threads;
mod throttle;
mod tokens;
