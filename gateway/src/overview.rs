//! The state of a namespace beyond its report, for the page.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use probe::Observation;

use crate::config::{CheckLimits, Severity};
use crate::runner::History;

/// What the page shows of a namespace besides its report.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    pub(crate) namespace: String,
    /// The checks, in the order of the report.
    pub(crate) checks: Vec<CheckOverview>,
    /// When the configuration in use was loaded, if its current files or secrets cannot be used.
    pub(crate) rejected_since: Option<SystemTime>,
    /// How many secrets could not be read the last time.
    pub(crate) unreadable_secrets: usize,
    /// Whether the store of shared results is unavailable.
    pub(crate) is_store_down: bool,
}

/// The settings of a check, its last run and its history.
#[derive(Clone, Debug)]
pub(crate) struct CheckOverview {
    /// Its full name, such as `cache.data`.
    pub(crate) name: Arc<str>,
    /// The name of its probe.
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    pub(crate) severity: Severity,
    /// The end of its maintenance, if it is in one.
    pub(crate) maintenance_until: Option<SystemTime>,
    pub(crate) interval: Duration,
    /// Whether its results are shared with other replicas.
    pub(crate) is_shared: bool,
    pub(crate) limits: CheckLimits,
    pub(crate) last: Option<LastRun>,
    /// What the last run observed.
    pub(crate) observations: Vec<Observation>,
    pub(crate) history: Option<Box<History>>,
}

/// The last run of a check.
#[derive(Clone, Debug)]
pub(crate) struct LastRun {
    /// The line of its failure.
    pub(crate) line: Option<Arc<str>>,
    /// A digest of step, cause and target of the failure.
    pub(crate) cause: u64,
    /// The replica that ran the check, if it was another one.
    pub(crate) seen_by: Option<Arc<str>>,
}
