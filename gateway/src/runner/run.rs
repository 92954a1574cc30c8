//! One run of one check, within its timeout and with its panic caught.
//!
//! A check may block its thread.
//! On a worker of the runtime, it then delays other tasks.
//! On a thread of the blocking pool it delays none, but each run costs several context switches.
//! Therefore, the first run of a check, and each run after one that blocked, has a thread of that pool.
//! A run after one that did not block is a task on the workers.

use std::future::poll_fn;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use probe::{DynCheck, Failure, Steps, in_seconds, step};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::report::{CheckResult, WORKING};

/// How long after its timeout a run waits for its check to return, before it is reported as timed out.
const GRACE: Duration = Duration::from_millis(20);

/// How long after that the check counts as blocking. A busy machine delays a thread for less.
const BLOCKED_AFTER: Duration = Duration::from_secs(1);

/// How late a timer fires at most. If one fires later, the process was paused, and the time is no measure of the backend.
const MAX_LATENESS: Duration = Duration::from_millis(250);

/// A poll that takes longer counts as blocking. The computations of a check take far less, and other tasks tolerate such a delay.
const MAX_POLL_TIME: Duration = Duration::from_millis(10);

/// Whether a check blocked its thread when it ran last.
#[derive(Debug, Default)]
pub(super) struct BlockingHistory {
    /// Whether every poll of the last run was short, or `false` before the first run.
    does_not_block: AtomicBool,
}

/// The outcome of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The failure in one line, or `None` if the check passed.
    pub(crate) failure: Option<Arc<str>>,
    /// The step that failed.
    pub(crate) failed_step: Option<&'static str>,
    /// A digest of the step, cause and target of the failure, which failures of different checks may have in common.
    pub(crate) cause: u64,
    /// How long the check took.
    pub(crate) response_time: Duration,
    /// When the run was complete. The age of the result counts from then.
    pub(crate) completed: Instant,
    pub(crate) result: RunResult,
    /// Whether the check still blocked its thread long after its timeout.
    pub(crate) blocks: bool,
    /// The replica that ran the check, if it was another one.
    pub(crate) seen_by: Option<Arc<str>>,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunResult {
    /// The check passed.
    Working,
    /// The check returned a failure.
    Failed,
    /// The check did not return in time.
    TimedOut,
    /// The check panicked, or blocked its thread.
    Defect,
}

impl RunResult {
    pub(crate) const ALL: [Self; 4] = [Self::Working, Self::Failed, Self::TimedOut, Self::Defect];

    /// Its name in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Defect => "defect",
        }
    }
}

impl Outcome {
    /// Whether the check did not return in time.
    pub(super) fn timed_out(&self) -> bool {
        self.result == RunResult::TimedOut || self.blocks
    }

    /// Whether the backend rejected the credentials, which may have been rotated in Vault.
    pub(super) fn is_refused(&self) -> bool {
        self.failed_step == Some(step::AUTHENTICATE)
    }

    /// The result for a report.
    pub(super) fn to_result(&self) -> CheckResult {
        let status = self.failure.as_deref().unwrap_or(WORKING).to_owned();
        CheckResult { status, response_time: self.response_time }
    }
}

/// A run that has been started.
pub(super) struct RunHandle {
    task: JoinHandle<Option<Completion>>,
    steps: Arc<Steps>,
    check: Arc<dyn DynCheck>,
    timeout: Duration,
    started: Instant,
    /// Whether the check has its timeout once more, since the process was paused.
    is_extended: Arc<AtomicBool>,
}

/// What the task of a run returns.
struct Completion {
    failure: Option<Failure>,
    result: RunResult,
    response_time: Duration,
}

impl RunHandle {
    /// Starts `check`. Its timeout counts from its first poll.
    pub(super) fn start(
        check: Arc<dyn DynCheck>,
        history: Arc<BlockingHistory>,
        steps: Arc<Steps>,
        timeout: Duration,
        cancelled: CancellationToken,
    ) -> Self {
        let does_not_block = history.does_not_block.load(Ordering::Relaxed);
        let is_extended = Arc::new(AtomicBool::default());
        let (extended, steps_of_run) = (is_extended.clone(), steps.clone());
        let run = run_check(check.clone(), history, steps_of_run, timeout, extended, cancelled);
        let task = if does_not_block {
            tokio::spawn(run)
        } else {
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(run))
        };
        Self { task, steps, check, timeout, started: Instant::now(), is_extended }
    }

    /// Waits until the check ends, or until soon after its timeout. Returns `None` if the run was cancelled.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        let limit = self.timeout + GRACE;
        let mut has_waited_again = false;
        let mut ended = within(limit, &mut self.task, || has_waited_again = true).await;
        // The task may have noticed a pause that this one has not.
        if ended.is_none() && !has_waited_again && self.is_extended() {
            ended = timeout(limit, &mut self.task).await.ok();
        }
        let completion = match ended {
            Some(Ok(completion)) => completion?,
            Some(Err(error)) => self.failed(self.panicked(error), RunResult::Defect),
            None => self.failed(self.steps.timed_out(self.timeout), RunResult::TimedOut),
        };
        Some(completion.into_outcome(self.check.target()))
    }

    /// The outcome of a check that still blocks its thread long after its timeout, or `None` if the check returns.
    pub(super) async fn blocked(&mut self) -> Option<Outcome> {
        if self.is_finished() {
            return None;
        }
        if within(BLOCKED_AFTER, &mut self.task, || {}).await.is_some() || self.is_extended() {
            return None;
        }
        let reason =
            format!("no answer within {}, the check blocks its thread", in_seconds(self.timeout));
        let failure = Failure::msg(self.steps.current(), reason);
        let completion = self.failed(failure, RunResult::Defect);
        Some(Outcome { blocks: true, ..completion.into_outcome(self.check.target()) })
    }

    /// Waits until the check has returned, which may be long after its outcome if it blocks its thread.
    pub(super) async fn join(self) {
        if !self.is_finished() {
            // The result comes too late to count, and a panic has been logged by the panic hook.
            drop(self.task.await);
        }
    }

    fn is_extended(&self) -> bool {
        self.is_extended.load(Ordering::Relaxed)
    }

    /// Whether the check has returned.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Replaces what the task did not return.
    fn failed(&self, failure: Failure, result: RunResult) -> Completion {
        Completion { failure: Some(failure), result, response_time: self.started.elapsed() }
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
        Failure::msg(self.steps.current(), reason)
    }
}

impl Completion {
    fn into_outcome(self, target: &str) -> Outcome {
        Outcome {
            failed_step: self.failure.as_ref().map(Failure::step),
            cause: self.failure.as_ref().map_or(0, |failure| cause(failure, target)),
            failure: self.failure.map(|failure| failure.render(target).into()),
            response_time: self.response_time,
            completed: Instant::now(),
            result: self.result,
            blocks: false,
            seen_by: None,
        }
    }
}

/// A digest of a failure without what differs from run to run, such as the age of a refused login.
fn cause(failure: &Failure, target: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (failure.step(), failure.cause().text(), target).hash(&mut hasher);
    hasher.finish()
}

/// Runs `check` to its end or its timeout, and records whether it blocked. Returns `None` if it was cancelled.
async fn run_check(
    check: Arc<dyn DynCheck>,
    history: Arc<BlockingHistory>,
    steps: Arc<Steps>,
    limit: Duration,
    is_extended: Arc<AtomicBool>,
    cancelled: CancellationToken,
) -> Option<Completion> {
    let started = Instant::now();
    let mut longest_poll = Duration::ZERO;
    let ended = {
        let mut check = pin!(check.check(&steps));
        let timed = poll_fn(|context| {
            let begun = Instant::now();
            let polled = check.as_mut().poll(context);
            longest_poll = longest_poll.max(begun.elapsed());
            polled
        });
        let extend = || is_extended.store(true, Ordering::Relaxed);
        cancelled.run_until_cancelled(within(limit, timed, extend)).await
    };
    // If the check panics, this is not reached and its history does not change.
    history.does_not_block.store(longest_poll < MAX_POLL_TIME, Ordering::Relaxed);
    let (failure, result) = match ended? {
        Some(Ok(())) => (None, RunResult::Working),
        Some(Err(failure)) => (Some(failure), RunResult::Failed),
        None => (Some(steps.timed_out(limit)), RunResult::TimedOut),
    };
    Some(Completion { failure, result, response_time: started.elapsed() })
}

/// The output of `future`, or `None` if that takes longer than `limit`.
///
/// If the process was paused meanwhile, `extend` is called, and `future` has that time once more: its answer may have arrived long ago.
async fn within<F: Future>(limit: Duration, future: F, extend: impl FnOnce()) -> Option<F::Output> {
    let mut future = pin!(future);
    let due = tokio::time::Instant::now() + limit;
    let mut polled = due;
    // A poll that takes long begins in time.
    let timed = poll_fn(|context| {
        polled = tokio::time::Instant::now();
        future.as_mut().poll(context)
    });
    let ended = timeout_at(due, timed).await;
    if ended.is_err() && polled > due + MAX_LATENESS {
        extend();
        return Box::pin(timeout(limit, future)).await.ok();
    }
    ended.ok()
}
