//! The contract between the gateway and its probes.
//!
//! A probe crate builds named checks from its section of the configuration (see [`Kind`]). A check examines one backend once (see [`Check`]).
//! Scheduling, timeouts, panics, caching, names and the format of the report belong to the gateway.

mod cached_connection;
mod check;
mod checks;
mod cleanups;
pub mod config;
mod count;
mod duration_text;
mod failure;
mod files;
mod grant;
mod kind;
mod last_received;
mod login_backoff;
mod observation;
mod reconnect;
mod secret;
mod shared_resources;
mod steps;
mod yield_now;

pub use cached_connection::{CachedConnection, Connect, Connecting};
pub use check::{Check, DynCheck};
pub use checks::{CheckName, Checks, DynChecks};
pub use cleanups::Cleanups;
pub use count::count;
pub use duration_text::{in_largest_unit, in_seconds, in_short};
pub use failure::{Cause, Failure, MAX_LINE};
pub use files::{read_bounded, read_file, read_private_file, read_within};
pub use grant::{Grant, GrantDialect, Principal, statements};
pub use kind::{GATEWAY_KEYS, Kind, Section};
pub use last_received::LastReceived;
pub use login_backoff::{LoginAttempt, LoginBackoff};
pub use observation::Observation;
pub use reconnect::Reconnect;
pub use secret::{Fingerprint, Secret, append_secret, scrub, wipe_dropped_secrets};
pub use shared_resources::SharedResources;
pub use steps::{Steps, step};
pub use yield_now::yield_now;
