//! The configuration as a probe meets it: a table whose keys it reads one by one, and whose mistakes are all noted before anything is said.
//!
//! No serde here: its errors quote the offending value, which may be a password, and end at the first mistake.

mod diagnostics;
mod fields;
mod node;
mod values;

pub use diagnostics::{Diagnostics, KeyUsage, Requirement};
pub use fields::Fields;
pub use node::{Diagnostic, Node, Value};
pub use values::{FromNode, Url, ValueError};
