//! The report: what every check said, in the order of the answer, before it is written as JSON or HTML.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use probe::Checks;

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
        let all_working =
            entries.iter().all(|(_, checks)| checks.iter().all(CheckResult::is_working));
        Self { entries, all_working, written: OnceLock::new() }
    }
}

impl Deref for Components {
    type Target = [(String, ComponentResult)];

    fn deref(&self) -> &Self::Target {
        &self.entries
    }
}

/// The results of a component's checks.
pub type ComponentResult = Checks<CheckResult>;

/// What one check said.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// [`WORKING`], or the failure in one line.
    pub status: String,
    /// How long the check took, or has been waited for.
    pub response_time: Duration,
}

impl Report {
    /// Each check with its full name, such as `cache.data`.
    pub fn checks(&self) -> impl Iterator<Item = (String, &CheckResult)> {
        self.components.iter().flat_map(|(component, checks)| checks.iter_named(component))
    }

    /// Whether every check works.
    pub fn all_working(&self) -> bool {
        self.components.all_working
    }
}

impl CheckResult {
    /// Whether the check passed.
    pub fn is_working(&self) -> bool {
        self.status == WORKING
    }
}
