//! The place of one check on the board: its last result, and the run that is under way, shared by all who wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use probe::{DynCheck, Failure, Steps};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;

use super::run::{BlockingHistory, Outcome, Running};
use crate::report::{CheckResult, WORKING};

pub use crate::config::CheckLimits as Limits;

/// What one check answered to one caller.
pub(super) struct Answer {
    pub(super) line: CheckResult,
    /// The age of the result, if it is not from a run that this caller waited for.
    pub(super) age: Option<Duration>,
    /// The step that failed, if one did.
    pub(super) step: Option<&'static str>,
}

/// A result that may be served again for a while.
pub(super) struct Stored {
    pub(super) line: CheckResult,
    pub(super) done: Instant,
    pub(super) until: Instant,
    /// The step that failed, if one did.
    pub(super) step: Option<&'static str>,
}

/// See the module.
pub(super) struct CachedCheck {
    name: String,
    check: Arc<dyn DynCheck>,
    limits: Limits,
    limit: Arc<Semaphore>,
    conduct: Arc<BlockingHistory>,
    state: Mutex<State>,
    /// How many results it has had.
    results: AtomicU64,
}

#[derive(Default)]
struct State {
    last: Option<Outcome>,
    run: Option<Run>,
}

impl State {
    fn forget(&mut self, id: u64) {
        self.run.take_if(|run| run.id == id);
    }
}

/// A run as those see it who wait for it.
struct Run {
    id: u64,
    outcome: watch::Receiver<Option<Outcome>>,
    steps: Arc<Steps>,
    cancel: CancellationToken,
    waiting: usize,
    /// Whether it goes on even if nobody waits: somebody left it to run in the background.
    background: bool,
}

impl CachedCheck {
    pub(super) fn new(
        name: String,
        check: Arc<dyn DynCheck>,
        limits: Limits,
        limit: Arc<Semaphore>,
    ) -> Self {
        Self {
            name,
            check,
            limits,
            limit,
            conduct: Arc::default(),
            state: Mutex::default(),
            results: AtomicU64::new(0),
        }
    }

    /// Asks the check for one caller, who wants it `fresh` or not, and waits until `deadline` at most.
    ///
    /// It is asked when this returns, whether its answer is waited for or not.
    pub(super) fn ask(self: &Arc<Self>, fresh: bool, deadline: Option<Instant>) -> PendingResult {
        let asked = Instant::now();
        let fresh = fresh && !self.is_rate_limited();
        let mut state = self.state();
        if let Some(last) = self.servable(&state).filter(|_| !fresh) {
            return PendingResult::Stored(stored(last));
        }
        let overdue = state.last.clone().filter(|last| last.at_deadline);
        let limit = match (&overdue, deadline) {
            (Some(_), deadline) => {
                let soon = asked + self.limits.overdue_wait;
                Some(deadline.map_or(soon, |deadline| deadline.min(soon)))
            }
            (None, deadline) => deadline,
        };
        PendingResult::Waiting { waiter: self.join(&mut state), asked, limit, overdue }
    }

    /// How many results it has had; as long as that is the same, the last one is.
    pub(super) fn results(&self) -> u64 {
        self.results.load(Ordering::Acquire)
    }

    /// Its last result, if that may still be served again.
    pub(super) fn stored(&self) -> Option<Stored> {
        let state = self.state();
        let last = self.servable(&state)?;
        let until = last.done + self.limits.max_age;
        Some(Stored { line: line(last), done: last.done, until, step: last.step })
    }

    /// The last result, if it is young enough to be given again.
    fn servable<'a>(&self, state: &'a State) -> Option<&'a Outcome> {
        state.last.as_ref().filter(|last| last.done.elapsed() < self.limits.max_age)
    }

    /// Joins the run that is under way, or starts one.
    fn join(self: &Arc<Self>, state: &mut State) -> Subscriber {
        let run = state.run.get_or_insert_with(|| self.start());
        run.waiting += 1;
        Subscriber {
            slot: self.clone(),
            id: run.id,
            outcome: run.outcome.clone(),
            steps: run.steps.clone(),
            done: false,
        }
    }

    fn start(self: &Arc<Self>) -> Run {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (publish, outcome) = watch::channel(None);
        let steps = Arc::new(Steps::new());
        let cancel = CancellationToken::new();
        tokio::spawn(self.clone().drive(id, steps.clone(), cancel.clone(), publish));
        // What a paced check has begun is done, whoever hangs up: else the next caller would have it begin again.
        Run { id, outcome, steps, cancel, waiting: 0, background: self.is_rate_limited() }
    }

    /// Whether the check must not run more often than its results may be old, whatever a caller wants.
    fn is_rate_limited(&self) -> bool {
        self.check.min_interval().is_some()
    }

    /// Sees a run through: its turn, its outcome, its end.
    async fn drive(
        self: Arc<Self>,
        id: u64,
        steps: Arc<Steps>,
        cancel: CancellationToken,
        publish: watch::Sender<Option<Outcome>>,
    ) {
        // Waiting for a turn is not the check's fault, so its deadline has not begun yet.
        let turn = cancel.run_until_cancelled(self.limit.clone().acquire_owned()).await;
        let Some(Ok(_turn)) = turn else { return };
        let (check, conduct) = (self.check.clone(), self.conduct.clone());
        let mut running = Running::start(check, conduct, steps, self.limits.timeout, cancel);
        if let Some(outcome) = running.outcome().await {
            self.note(id, &outcome, running.is_over());
            publish.send_replace(Some(outcome));
        }
        if let Some(outcome) = running.blocked().await {
            self.note(id, &outcome, false);
            publish.send_replace(Some(outcome));
        }
        // As long as its thread is blocked, a check is not started again.
        running.join().await;
        self.state().forget(id);
    }

    /// Keeps an outcome. If its run is over, who asks from now on gets one that began after the question.
    fn note(&self, id: u64, outcome: &Outcome, over: bool) {
        self.log_change(outcome);
        let mut state = self.state();
        state.last = Some(outcome.clone());
        self.results.fetch_add(1, Ordering::Release);
        if over {
            state.forget(id);
        }
    }

    fn log_change(&self, outcome: &Outcome) {
        let was_working = self.state().last.as_ref().map(|last| last.failure.is_none());
        match (&outcome.failure, was_working) {
            (Some(failure), None | Some(true)) => {
                tracing::warn!(check = self.name, status = &**failure, "check failed");
            }
            (None, Some(false)) => tracing::info!(check = self.name, "check works again"),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// Somebody who waits for a run. Dropped before its outcome, the caller has hung up: a run that nobody waits for ends.
pub(super) struct Subscriber {
    slot: Arc<CachedCheck>,
    id: u64,
    outcome: watch::Receiver<Option<Outcome>>,
    steps: Arc<Steps>,
    done: bool,
}

impl Subscriber {
    /// The outcome, or `None` when the `limit` comes first.
    async fn outcome(&mut self, limit: Option<Instant>) -> Option<Outcome> {
        let outcome = async {
            match self.outcome.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone(),
                // A run ends without an outcome only when it is cancelled, and it is not while we wait.
                Err(_) => None,
            }
        };
        let outcome = match limit {
            Some(limit) => timeout_at(limit.into(), outcome).await.unwrap_or(None),
            None => outcome.await,
        };
        self.done = outcome.is_some();
        outcome
    }

    /// Leaves the run to itself: it goes on within its own deadline, for whoever asks next.
    fn leave_in_background(mut self) {
        self.done = true;
        let mut state = self.slot.state();
        if let Some(run) = state.run.as_mut().filter(|run| run.id == self.id) {
            run.waiting -= 1;
            run.background = true;
        }
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.slot.state();
        let Some(run) = state.run.as_mut().filter(|run| run.id == self.id) else { return };
        run.waiting -= 1;
        if run.waiting == 0 && !run.background {
            run.cancel.cancel();
            state.run = None;
        }
    }
}

/// A check that has been asked for one caller.
pub(super) enum PendingResult {
    /// Its last result is young enough.
    Stored(Answer),
    /// It runs.
    Waiting {
        waiter: Subscriber,
        asked: Instant,
        /// How long it is waited for.
        limit: Option<Instant>,
        /// Its last result, if the deadline had ended that run.
        overdue: Option<Outcome>,
    },
}

impl PendingResult {
    /// What it says, or what can be said of it when the caller has waited long enough.
    pub(super) async fn answer(self) -> Answer {
        let (mut waiter, asked, limit, overdue) = match self {
            Self::Stored(answer) => return answer,
            Self::Waiting { waiter, asked, limit, overdue } => (waiter, asked, limit, overdue),
        };
        if let Some(outcome) = waiter.outcome(limit).await {
            // A check that blocks its thread has had its outcome for a while.
            let age = (outcome.done < asked).then(|| outcome.done.elapsed());
            return Answer { line: line(&outcome), age, step: outcome.step };
        }
        let waited =
            limit.map_or_else(|| asked.elapsed(), |limit| limit.saturating_duration_since(asked));
        let target = waiter.slot.check.target();
        let mut answer = match &overdue {
            // What was true at the last deadline is true as long as nothing answers.
            Some(last) => stored(last),
            None => not_finished(waiter.steps.current(), target, waited),
        };
        answer.line.response_time = waited;
        waiter.leave_in_background();
        answer
    }
}

fn not_finished(step: &'static str, target: &str, waited: Duration) -> Answer {
    let seconds = waited.as_secs_f64();
    let reason = format!("not finished within the {seconds:.0}s that the caller waits");
    let status = Failure::msg(step, reason).render(target);
    Answer { line: CheckResult { status, response_time: waited }, age: None, step: None }
}

fn stored(outcome: &Outcome) -> Answer {
    Answer { line: line(outcome), age: Some(outcome.done.elapsed()), step: outcome.step }
}

fn line(outcome: &Outcome) -> CheckResult {
    let status = outcome.failure.as_deref().unwrap_or(WORKING).to_owned();
    CheckResult { status, response_time: outcome.took }
}
