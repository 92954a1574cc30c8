//! Reads a section of the configuration key by key and collects all diagnostics.
//!
//! serde is not used: its errors quote the offending value, which may be a password, and it stops at the first error.

mod diagnostics;
mod fields;
mod node;
mod parameter_rules;
mod url;
mod values;

pub use diagnostics::{Diagnostics, KeyUsage, Requirement};
pub use fields::Fields;
pub use node::{Diagnostic, Node, Value};
pub use parameter_rules::{ParameterRules, Treatment, Verdict, judge_parameter};
pub use url::{
    EXPECTED_HOST, Parameter, Url, UrlParts, UrlText, basic_auth, is_host, percent_decode,
    split_urls,
};
pub use values::{FromNode, ValueError};
