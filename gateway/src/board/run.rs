//! One run of one check: on a thread of its own, within its deadline, with its panic caught.
//!
//! A check is foreign code to the board. Polled on the runtime's own threads, one that blocks would stop others;
//! here it holds up a thread of the blocking pool, and nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use probe::{DynCheck, Failure, Steps};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long past its deadline a check's thread is waited for.
const GRACE: Duration = Duration::from_millis(20);

/// How much longer it may take on a busy machine to come back before it counts as blocked.
const BUSY: Duration = Duration::from_secs(1);

/// How a run ended.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The failure's line, or `None` if the check passed.
    pub(super) failure: Option<Arc<str>>,
    /// The step that failed, if one did.
    pub(super) step: Option<&'static str>,
    /// How long the check took.
    pub(super) took: Duration,
    /// When the run was complete; its age counts from here.
    pub(super) done: Instant,
    /// Whether it was the deadline that ended it.
    pub(super) at_deadline: bool,
}

/// A run that has been started.
pub(super) struct Running {
    thread: JoinHandle<Option<Finished>>,
    steps: Arc<Steps>,
    check: Arc<dyn DynCheck>,
    deadline: Duration,
    started: Instant,
}

/// What the thread of a run brings back, unless it was cancelled.
struct Finished {
    result: Result<(), Failure>,
    at_deadline: bool,
    took: Duration,
}

impl Running {
    /// Starts `check`; its clock starts now.
    pub(super) fn start(
        check: Arc<dyn DynCheck>,
        steps: Arc<Steps>,
        deadline: Duration,
        cancelled: CancellationToken,
    ) -> Self {
        let runtime = Handle::current();
        let thread = tokio::task::spawn_blocking({
            let (check, steps) = (check.clone(), steps.clone());
            move || {
                let started = Instant::now();
                let work = cancelled.run_until_cancelled(timeout(deadline, check.check(&steps)));
                let (result, at_deadline) = match runtime.block_on(work)? {
                    Ok(result) => (result, false),
                    Err(_) => (Err(steps.unanswered(deadline)), true),
                };
                Some(Finished { result, at_deadline, took: started.elapsed() })
            }
        });
        Self { thread, steps, check, deadline, started: Instant::now() }
    }

    /// The outcome: when the check ends, or soon after its deadline at the latest. `None` if the run was cancelled.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        let finished = match timeout(self.deadline + GRACE, &mut self.thread).await {
            Ok(Ok(finished)) => finished?,
            Ok(Err(error)) => self.failed(self.panicked(error), false),
            Err(_) => self.failed(self.steps.unanswered(self.deadline), true),
        };
        Some(self.told(finished))
    }

    /// The outcome of a check that did not end at its deadline, nor long after it; `None` if its thread comes back.
    pub(super) async fn blocked(&mut self) -> Option<Outcome> {
        if self.is_over() {
            return None;
        }
        timeout(BUSY, &mut self.thread).await.err()?;
        let reason = format!("no answer within {:?}, the check blocks its thread", self.deadline);
        let failure = Failure::because(self.steps.current(), reason);
        Some(self.told(self.failed(failure, true)))
    }

    /// Waits until the thread is free again, which for a blocking check may be long after its outcome.
    pub(super) async fn over(self) {
        if !self.is_over() {
            // Its result came too late to count, and a panic has been logged by the panic hook.
            drop(self.thread.await);
        }
    }

    /// Whether the thread is free again.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    fn told(&self, finished: Finished) -> Outcome {
        let Finished { result, at_deadline, took } = finished;
        let failure = result.err();
        Outcome {
            step: failure.as_ref().map(Failure::step),
            failure: failure.map(|failure| failure.line(self.check.target()).into()),
            took,
            done: Instant::now(),
            at_deadline,
        }
    }

    /// What stands in for a thread that brought nothing back.
    fn failed(&self, failure: Failure, at_deadline: bool) -> Finished {
        Finished { result: Err(failure), at_deadline, took: self.started.elapsed() }
    }

    fn panicked(&self, error: JoinError) -> Failure {
        let reason = match error.try_into_panic() {
            Ok(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("the check panicked: {}", text.unwrap_or("no message"))
            }
            Err(_) => "the process is ending".to_owned(),
        };
        Failure::because(self.steps.current(), reason)
    }
}
