//! health-gateway as a library: everything but the command line.
//!
//! A request goes from [`http`] (the endpoint) through [`namespaces`] (which one has this token) and [`runner`] (run its checks) to the check of a probe.

pub mod admin;
mod blocking;
pub mod config;
pub mod http;
pub mod kinds;
pub mod log;
pub mod namespace;
pub mod namespaces;
pub mod oneshot;
pub mod open_files;
pub mod permissions;
mod rate_limit;
mod refresh;
mod registry;
mod reloader;
pub mod report;
pub mod runner;
pub mod runtime;
pub mod signals;
mod throttle;
mod tokens;
