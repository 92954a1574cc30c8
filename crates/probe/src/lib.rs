//! The contract between the gateway and its probes: what a check is, its failure, its secrets and its configuration.
//!
//! A probe crate turns its section of the configuration into named checks (see [`Kind`]); a check asks one backend one question once (see [`Check`]).
//! When to ask, how long to wait, what to do with a panic, how to name and to write the answer: that is the gateway's and stands nowhere here.

mod check;
mod component;
pub mod config;
mod failure;
mod grant;
mod kept;
mod secret;
mod shared;
mod steps;

pub use check::{Check, DynCheck};
pub use component::{CheckName, Component, GATEWAY_KEYS, Kind, Section};
pub use failure::{Cause, Failure, MAX_LINE};
pub use grant::{Grant, Holder, System, statements};
pub use kept::{Connect, Kept};
pub use secret::{Secret, scrub};
pub use shared::Shared;
pub use steps::Steps;
