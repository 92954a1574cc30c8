//! A test suite for the contract of probes, and helpers for the probes' own tests.
//!
//! [`promises`] tests every promise of the contract. [`FaultProxy`] injects faults between a probe and a real server, and an [`impostor`] stands in for a server that misbehaves.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "this crate is for tests, which fail by panicking"
)]

mod cutting;
mod hostile;
mod impostor;
mod line;
mod panics;
mod pki;
mod promises;
mod proxy;
mod relay;
mod run;
mod secrets;
mod subject;
mod suite;
mod tls_files;

pub use cutting::cut_at_random;
pub use hostile::Hostile;
pub use impostor::{impostor, serve_tcp};
pub use pki::{Authority, Identity};
pub use promises::promises;
pub use proxy::{Counts, FaultProxy};
pub use run::{
    RunOutcome, checks, component, component_sharing, diagnostics, notes, run, single,
    without_known_keys,
};
pub use subject::Subject;
pub use tls_files::TlsFiles;
