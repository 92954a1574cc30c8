//! The report: what every check said, in the order of the answer, before it is written as JSON or HTML.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

/// What `status` says of a check that passed.
pub const WORKING: &str = "working";

/// One answer to "can each of them do its work right now".
#[derive(Clone, Debug)]
pub struct Report {
    /// Every component by its name.
    pub components: Arc<Components>,
    /// The age of the oldest stored result in it; `None` if every check ran for this report.
    pub age: Option<Duration>,
}

/// The components of a report, in its order. They are shared by all who are answered from the same results.
#[derive(Debug)]
pub struct Components {
    entries: Vec<(String, ComponentResult)>,
    all_working: bool,
    written: OnceLock<Bytes>,
}

impl Components {
    /// Its text in the usual form, made by `write` for the first who needs it.
    pub(crate) fn written(&self, write: impl FnOnce() -> String) -> Bytes {
        self.written.get_or_init(|| write().into()).clone()
    }
}

impl From<Vec<(String, ComponentResult)>> for Components {
    fn from(entries: Vec<(String, ComponentResult)>) -> Self {
        let all_working = entries.iter().all(|(_, entry)| entry.is_working());
        Self { entries, all_working, written: OnceLock::new() }
    }
}

impl Deref for Components {
    type Target = [(String, ComponentResult)];

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

/// A component in the report.
#[derive(Clone, Debug)]
pub enum ComponentResult {
    /// It is one check.
    Single(CheckResult),
    /// It is a group of named checks.
    Group(Vec<(String, CheckResult)>),
}

/// What one check said.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// [`WORKING`], or the failure in one line.
    pub status: String,
    /// How long the check took, or has been waited for.
    pub response_time: Duration,
}

impl Report {
    /// Whether every check works.
    pub fn all_working(&self) -> bool {
        self.components.all_working
    }
}

impl ComponentResult {
    fn is_working(&self) -> bool {
        match self {
            Self::Single(line) => line.is_working(),
            Self::Group(lines) => lines.iter().all(|(_, line)| line.is_working()),
        }
    }
}

impl CheckResult {
    /// Whether the check passed.
    pub fn is_working(&self) -> bool {
        self.status == WORKING
    }
}
