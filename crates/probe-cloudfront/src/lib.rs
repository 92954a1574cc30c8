//! Checks that a distribution is enabled and deployed, and that it serves an object.
//!
//! ```toml
//! [cloud_front.site]
//! distribution = "E2QWRUHAPOMQZL"
//! object = "/health.txt"
//! contains = "healthy"
//! ```
//!
//! Either part is optional: without `object`, only the API is called; without `distribution`, only the object is fetched from `domain`.

mod check;
mod distribution;
mod edge;
mod responder;
mod settings;

use probe::{DynChecks, Kind, Section};

/// The kind of the section with the distributions, each under its name.
pub const KIND: Kind = Kind { name: "cloud_front", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    section.group_by_key(|_, fields| settings::read(fields, section.shared()))
}
