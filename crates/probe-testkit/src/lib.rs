//! The contract's promises as one suite that every probe runs against itself, and the fault proxy that breaks its backend.
//!
//! [`promises`] is the suite, [`FaultProxy`] the means to break a backend in any other way, and the rest what the probes' own tests share.

#![expect(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "this crate is for tests, which fail by panicking"
)]

mod cutting;
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

pub use cutting::cut_at_random;
pub use pki::{Authority, Identity};
pub use promises::promises;
pub use proxy::{Counts, FaultProxy};
pub use run::{Outcome, checks, component, component_sharing, diagnostics, run, single};
pub use subject::Subject;
