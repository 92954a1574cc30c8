//! The contract between the gateway and its probes: what a check is, its failure, its secrets and its configuration.
//!
//! A probe crate turns its section of the configuration into named checks (see [`Kind`]); a check asks one backend one question once (see [`Check`]).
//! When to ask, how long to wait, what to do with a panic, how to name and to write the answer: that is the gateway's and stands nowhere here.

mod cached_connection;
mod check;
mod checks;
pub mod config;
mod failure;
mod grant;
mod kind;
mod secret;
mod shared_resources;
mod steps;

pub use cached_connection::{CachedConnection, Connect};
pub use check::{Check, DynCheck};
pub use checks::{CheckName, Checks, DynChecks};
pub use failure::{Cause, Failure, MAX_LINE};
pub use grant::{Grant, GrantDialect, Principal, statements};
pub use kind::{GATEWAY_KEYS, Kind, Section};
pub use secret::{Secret, scrub};
pub use shared_resources::SharedResources;
pub use steps::{Steps, step};
