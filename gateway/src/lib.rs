//! health-gateway as a library: everything but the command line.
//!
//! [`http`] serves a request, [`namespaces`] finds the namespace of its token, and [`runner`] runs the checks of the probes.

pub mod admin;
mod blocking;
pub mod config;
pub mod config_report;
mod file_events;
pub mod http;
pub mod kinds;
pub mod log;
pub mod maybe_ready;
pub mod metrics;
pub mod namespace;
pub mod namespaces;
pub mod oneshot;
pub mod open_files;
pub mod overview;
pub mod permissions;
mod rate_limit;
mod refresh;
mod registry;
mod reloader;
pub mod report;
pub mod runner;
pub mod runtime;
pub mod scheduler;
pub mod share;
pub mod signals;
mod throttle;
mod timestamp;
mod tokens;
