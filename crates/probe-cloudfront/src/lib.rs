//! Asks whether a distribution is enabled and deployed, and whether it serves an object.
//!
//! ```toml
//! [cloud_front.site]
//! distribution = "E2QWRUHAPOMQZL"
//! object = "/health.txt"
//! contains = "healthy"
//! ```
//!
//! Either half can be left out: without `object` only the API is asked, and without `distribution` only `domain`.

mod check;
mod distribution;
mod edge;
mod settings;
mod verdict;

use probe::{DynChecks, Kind, Section};

/// The kind of section that holds distributions, each under its name.
pub const KIND: Kind = Kind { name: "cloud_front", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|_, fields| settings::read(fields, section.shared()))
}
