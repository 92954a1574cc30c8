//! The configuration as a probe meets it: a table whose keys it reads one by one, and whose mistakes are all noted before anything is said.
//!
//! No serde here: its errors quote the offending value, which may be a password, and end at the first mistake.

mod fields;
mod node;
mod notes;
mod values;

pub use fields::Fields;
pub use node::{Mistake, Node, Value};
pub use notes::{Asked, Need, Notes};
pub use values::{FromNode, Refused, Url};
