//! The report: the result of every check, before it is written as JSON or HTML.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use probe::Checks;

/// The `status` of a check that passed.
pub const WORKING: &str = "working";

/// The results of all checks of a namespace at one time.
#[derive(Clone, Debug)]
pub struct Report {
    /// The components with their names.
    pub components: Arc<Components>,
    /// The age of its oldest cached result, or `None` if every check ran for this report.
    pub age: Option<Duration>,
    /// Whether a check failed that is critical and not in maintenance.
    pub has_critical_failure: bool,
}

/// The components of a report with their names, in the order of the report. Reports of the same results share them.
#[derive(Debug)]
pub struct Components {
    entries: Vec<(String, ComponentResult)>,
    all_working: bool,
    written: OnceLock<Bytes>,
}

impl Components {
    /// Whether every check passed.
    pub(crate) fn all_working(&self) -> bool {
        self.all_working
    }

    /// The report as compact JSON, which `write` returns when it is first needed.
    pub(crate) fn written(&self, write: impl FnOnce() -> String) -> Bytes {
        self.written.get_or_init(|| write().into()).clone()
    }
}

impl From<Vec<(String, ComponentResult)>> for Components {
    fn from(entries: Vec<(String, ComponentResult)>) -> Self {
        let all_working =
            entries.iter().all(|(_, results)| results.iter().all(CheckResult::is_working));
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

/// The result of one check.
#[derive(Clone, Debug)]
pub struct CheckResult {
    /// [`WORKING`], or the failure in one line.
    pub status: String,
    /// How long the check took, or how long the caller waited for it.
    pub response_time: Duration,
}

impl Report {
    /// Each result with the full name of its check, such as `cache.data`.
    pub fn checks(&self) -> impl Iterator<Item = (String, &CheckResult)> {
        self.components.iter().flat_map(|(component, results)| results.iter_named(component))
    }

    /// Whether every check passed.
    pub fn all_working(&self) -> bool {
        self.components.all_working()
    }
}

impl CheckResult {
    /// Whether the check passed.
    pub fn is_working(&self) -> bool {
        self.status == WORKING
    }
}
