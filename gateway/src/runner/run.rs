//! One run of one check: within its deadline, with its panic caught, and on a thread of its own until it is known not to block.
//!
//! A check is foreign code to the board. Polled on the thread that all share, one that blocks would hold up others for a moment;
//! on a thread of its own it holds up nobody else, which costs several switches between threads for each run.
//! So a check shares the thread once a whole run has shown that it gives it back at once, and for as long as it does.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use probe::{DynCheck, Failure, Steps};
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::threads;

/// How long past its deadline a check's thread is waited for.
const GRACE: Duration = Duration::from_millis(20);

/// How much longer it may take on a busy machine to come back before it counts as blocked.
const BUSY: Duration = Duration::from_secs(1);

/// A check that keeps a thread for so long at a time does not share it: far more than any needs that only computes, far less than anybody would notice.
const LONG: Duration = Duration::from_millis(10);

/// What is known of a check from its last run.
#[derive(Debug, Default)]
pub(super) struct BlockingHistory {
    /// Whether it gave its thread back at once, each time.
    shares: AtomicBool,
}

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
    task: JoinHandle<Option<Finished>>,
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
    /// Starts `check`; its clock starts with its first poll.
    pub(super) fn start(
        check: Arc<dyn DynCheck>,
        conduct: Arc<BlockingHistory>,
        steps: Arc<Steps>,
        deadline: Duration,
        cancelled: CancellationToken,
    ) -> Self {
        let shares = conduct.shares.load(Ordering::Relaxed);
        let work = work(check.clone(), conduct, steps.clone(), deadline, cancelled);
        let task = if shares {
            tokio::spawn(threads::watched(work))
        } else {
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || runtime.block_on(work))
        };
        Self { task, steps, check, deadline, started: Instant::now() }
    }

    /// The outcome: when the check ends, or soon after its deadline at the latest. `None` if the run was cancelled.
    pub(super) async fn outcome(&mut self) -> Option<Outcome> {
        let finished = match timeout(self.deadline + GRACE, &mut self.task).await {
            Ok(Ok(finished)) => finished?,
            Ok(Err(error)) => self.failed(self.panicked(error), false),
            Err(_) => self.failed(self.steps.timed_out(self.deadline), true),
        };
        Some(self.to_outcome(finished))
    }

    /// The outcome of a check that did not end at its deadline, nor long after it; `None` if its thread comes back.
    pub(super) async fn blocked(&mut self) -> Option<Outcome> {
        if self.is_over() {
            return None;
        }
        timeout(BUSY, &mut self.task).await.err()?;
        let reason = format!("no answer within {:?}, the check blocks its thread", self.deadline);
        let failure = Failure::msg(self.steps.current(), reason);
        Some(self.to_outcome(self.failed(failure, true)))
    }

    /// Waits until the thread is free again, which for a blocking check may be long after its outcome.
    pub(super) async fn join(self) {
        if !self.is_over() {
            // Its result came too late to count, and a panic has been logged by the panic hook.
            drop(self.task.await);
        }
    }

    /// Whether the thread is free again.
    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    fn to_outcome(&self, finished: Finished) -> Outcome {
        let Finished { result, at_deadline, took } = finished;
        let failure = result.err();
        Outcome {
            step: failure.as_ref().map(Failure::step),
            failure: failure.map(|failure| failure.render(self.check.target()).into()),
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
        Failure::msg(self.steps.current(), reason)
    }
}

/// Runs `check` to its end or its deadline, and notes how it treats its thread; `None` if it was cancelled.
async fn work(
    check: Arc<dyn DynCheck>,
    conduct: Arc<BlockingHistory>,
    steps: Arc<Steps>,
    deadline: Duration,
    cancelled: CancellationToken,
) -> Option<Finished> {
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    let ended = {
        let mut check = pin!(check.check(&steps));
        let watched = poll_fn(|context| {
            let begun = Instant::now();
            let polled = check.as_mut().poll(context);
            longest = longest.max(begun.elapsed());
            polled
        });
        cancelled.run_until_cancelled(timeout(deadline, watched)).await
    };
    // One that panicked comes not this far, and stays what it was.
    conduct.shares.store(longest < LONG, Ordering::Relaxed);
    let (result, at_deadline) = match ended? {
        Ok(result) => (result, false),
        Err(_) => (Err(steps.timed_out(deadline)), true),
    };
    Some(Finished { result, at_deadline, took: started.elapsed() })
}
