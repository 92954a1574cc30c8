//! health-gateway as a library: everything but the command line.
//!
//! A request goes from [`face`] (HTTP) to [`namespaces`] (whose token is it), to [`board`] (run the checks), to a probe's check.

pub mod admin;
pub mod config;
pub mod http;
pub mod kinds;
pub mod log;
pub mod namespace;
pub mod namespaces;
pub mod oneshot;
pub mod permissions;
mod reloader;
pub mod report;
pub mod runner;
pub mod runtime;
mod throttle;
mod tokens;
