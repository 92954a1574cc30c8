//! Mutates a kept corpus of what callers, operators and servers send.
//!
//! Each [`Target`] reads one kind of input as the product does.
//! A panic, an input that takes too long or too much memory, and an output with a planted secret are findings.
//! `cargo xtask fuzz` runs all targets for a given time; the tests run them briefly.

mod corpus;
mod engine;
mod meter;
mod mutator;
mod planted;
mod targets;

pub use engine::{Finding, FuzzReport, Limits, run};
pub use targets::{Call, TARGETS, Target};
