//! Awaits the outcome of a run for one caller, and keeps the run alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::Failure;
use tokio::time::timeout_at;

use super::cached_check::{CachedCheck, Run};
use super::options::LimitReason;
use super::run::Outcome;
use crate::report::CheckResult;

/// The result of a check in one report.
pub(crate) struct ReportedResult {
    pub(super) result: CheckResult,
    /// The age of the result, unless this report waited for its run.
    pub(super) age: Option<Duration>,
    is_refused: bool,
}

impl ReportedResult {
    pub(super) fn cached(outcome: &Outcome) -> Self {
        let age = Some(outcome.completed.elapsed());
        Self { result: outcome.to_result(), age, is_refused: outcome.is_refused() }
    }

    /// Whether the backend rejected the credentials, which may have been rotated in Vault.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused
    }
}

/// The result that one caller has requested.
pub(super) enum PendingResult {
    Ready(ReportedResult),
    Running(Subscriber),
}

impl PendingResult {
    pub(super) async fn result(self) -> ReportedResult {
        match self {
            Self::Ready(result) => result,
            Self::Running(subscriber) => subscriber.result().await,
        }
    }
}

/// One caller's interest in a run.
pub(crate) struct Subscriber {
    pub(super) check: Arc<CachedCheck>,
    pub(super) run: Arc<Run>,
    pub(super) requested: Instant,
    /// When to stop waiting, and what is reported then.
    pub(super) fallback: Option<(Instant, Fallback)>,
}

/// What is reported for a check that has not completed when its caller stops waiting.
pub(super) enum Fallback {
    /// The outcome of the last run, which timed out. It is reported until a run completes.
    LastTimeout(Outcome),
    /// The current step of the run.
    NotFinished(LimitReason),
}

impl Subscriber {
    /// The result, or the fallback if the wait limit is reached first.
    pub(crate) async fn result(self) -> ReportedResult {
        let Some((limit, fallback)) = &self.fallback else {
            return self.completed(self.outcome().await);
        };
        if let Ok(outcome) = timeout_at((*limit).into(), self.outcome()).await {
            return self.completed(outcome);
        }
        let waited = limit.saturating_duration_since(self.requested);
        let reported = match fallback {
            Fallback::LastTimeout(last) => {
                let mut reported = ReportedResult::cached(last);
                reported.result.response_time = waited;
                reported
            }
            Fallback::NotFinished(reason) => {
                self.unfinished(format!("not finished within {reason}"), waited)
            }
        };
        self.check.detach(self.run);
        reported
    }

    /// The outcome of the run, or `None` if the run ends without one, which happens only when the process ends.
    async fn outcome(&self) -> Option<Outcome> {
        let mut outcome = self.run.outcome.clone();
        outcome.wait_for(Option::is_some).await.ok().and_then(|outcome| outcome.clone())
    }

    fn completed(&self, outcome: Option<Outcome>) -> ReportedResult {
        let Some(outcome) = outcome else {
            return self.unfinished("the process is ending".to_owned(), self.requested.elapsed());
        };
        let mut reported = ReportedResult::cached(&outcome);
        // A run in progress has an outcome already if its check blocks its thread.
        reported.age.take_if(|_| outcome.completed >= self.requested);
        reported
    }

    /// What is reported for a run without an outcome.
    fn unfinished(&self, reason: String, waited: Duration) -> ReportedResult {
        let failure = Failure::msg(self.run.steps.current(), reason);
        let result =
            CheckResult { status: failure.render(self.check.target()), response_time: waited };
        ReportedResult { result, age: None, is_refused: false }
    }
}
