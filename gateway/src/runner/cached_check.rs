//! One check with its last outcome and history, and its run in progress that all callers share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use probe::{DynCheck, Observation, Steps, scrub};
use tokio::sync::{SemaphorePermit, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::concurrency_limit::ConcurrencyLimit;
use super::history::{History, Moment, Transition};
use super::options::WaitLimit;
use super::run::{BlockingHistory, Outcome, RunHandle};
use super::schedule::Schedule;
use super::statistics::Statistics;
use super::subscriber::{Fallback, PendingResult, ReportedResult, Subscriber};
use crate::config::{CheckLimits, Severity};
use crate::overview::{CheckOverview, LastRun};
use crate::timestamp::rfc3339;

/// The step of a run that waits for a permit of the concurrency limit.
const WAIT_FOR_A_TURN: &str = "wait for a turn";
/// The step of a run before the first step of its check, as in [`Steps::new`].
const START: &str = "start";

pub(super) struct CachedCheck {
    name: Arc<str>,
    check: Arc<dyn DynCheck>,
    limits: CheckLimits,
    limit: ConcurrencyLimit,
    blocking: Arc<BlockingHistory>,
    state: Mutex<State>,
    /// The number of outcomes of all checks of the namespace so far.
    outcomes: Arc<AtomicU64>,
    created: Instant,
}

/// A run in progress. It is cancelled when the last reference to it is dropped.
pub(super) struct Run {
    pub(super) outcome: watch::Receiver<Option<Outcome>>,
    pub(super) steps: Arc<Steps>,
    _cancel_on_drop: DropGuard,
}

/// What metrics tell of the last outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastOutcome {
    /// The step that failed.
    pub(crate) failed_step: Option<&'static str>,
    pub(crate) age: Duration,
}

#[derive(Default)]
struct State {
    last: Option<Outcome>,
    /// What the last run observed.
    observations: Vec<Observation>,
    statistics: Statistics,
    /// It begins with the first outcome.
    history: Option<Box<History>>,
    /// Whether a check of a new configuration continues the history.
    is_replaced: bool,
    /// The run in progress. Its subscribers own it, so that it ends with the last of them.
    run: Weak<Run>,
    /// The same run, if it continues without subscribers.
    detached: Option<Arc<Run>>,
}

impl State {
    /// Lets `run` continue without subscribers, unless it has ended.
    fn detach(&mut self, run: Arc<Run>) {
        if self.run.ptr_eq(&Arc::downgrade(&run)) {
            self.detached = Some(run);
        }
    }

    /// Stops sharing `run`, so that the next request starts another one.
    fn forget(&mut self, run: &Weak<Run>) {
        if self.run.ptr_eq(run) {
            self.run = Weak::new();
            self.detached = None;
        }
    }
}

impl CachedCheck {
    /// A check that continues the `history` of the one that it replaces, if any, and counts its outcomes in `outcomes`.
    pub(super) fn new(
        name: String,
        check: Arc<dyn DynCheck>,
        limits: CheckLimits,
        limit: ConcurrencyLimit,
        history: Option<Box<History>>,
        outcomes: Arc<AtomicU64>,
    ) -> Self {
        Self {
            name: name.into(),
            check,
            limits,
            limit,
            blocking: Arc::default(),
            state: Mutex::new(State { history, ..State::default() }),
            outcomes,
            created: Instant::now(),
        }
    }

    /// The result for one caller: that of the last outcome if it may be served, or else that of a run.
    ///
    /// The run has been started when this returns, so that all checks of a report run at the same time.
    pub(super) fn request(
        self: &Arc<Self>,
        fresh: bool,
        limit: Option<WaitLimit>,
    ) -> PendingResult {
        let requested = Instant::now();
        let fresh = fresh && !self.is_rate_limited();
        let mut state = self.state.lock();
        if !fresh && let Some(last) = self.unexpired(&state) {
            return PendingResult::Ready(ReportedResult::cached(last));
        }
        let fallback = self.fallback(&state, requested, limit);
        let run = self.join_or_start(&mut state);
        PendingResult::Running(Subscriber { check: self.clone(), run, requested, fallback })
    }

    /// Joins the run in progress or starts one, and waits for its outcome however long it takes.
    pub(super) fn subscribe(self: &Arc<Self>) -> Subscriber {
        let run = self.join_or_start(&mut self.state.lock());
        Subscriber { check: self.clone(), run, requested: Instant::now(), fallback: None }
    }

    /// The last outcome and when it expires, if it has not expired.
    pub(super) fn cached(&self) -> Option<(Outcome, Instant)> {
        let state = self.state.lock();
        let last = self.unexpired(&state)?;
        Some((last.clone(), last.completed + self.limits.max_age))
    }

    /// When the gateway runs the check by itself, unless there is a run before: the first time of its `schedule` since the last outcome, and not before that expires.
    ///
    /// While a run is in progress, that is the first time from `now` on.
    pub(super) fn next_run(&self, schedule: &Schedule, now: Instant) -> Instant {
        let state = self.state.lock();
        if state.run.strong_count() > 0 {
            return schedule.next_after(now);
        }
        match &state.last {
            None => schedule.next_after(self.created),
            Some(last) => {
                schedule.next_after(last.completed).max(last.completed + self.limits.max_age)
            }
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    /// How long a run may take.
    pub(super) fn timeout(&self) -> Duration {
        self.limits.timeout
    }

    /// How long each step of the last run took.
    pub(super) fn durations(&self) -> Vec<(&'static str, Duration)> {
        self.state.lock().history.iter().flat_map(|history| history.steps()).collect()
    }

    /// The last outcome and its observations, and the statistics of all.
    pub(super) fn sample(&self) -> (Option<LastOutcome>, Vec<Observation>, Statistics) {
        let state = self.state.lock();
        let last = state.last.as_ref().map(|last| LastOutcome {
            failed_step: last.failed_step,
            age: last.completed.elapsed(),
        });
        (last, state.observations.clone(), state.statistics)
    }

    /// Hands the history over to the check that replaces this one.
    pub(super) fn take_history(&self) -> Option<Box<History>> {
        let mut state = self.state.lock();
        state.is_replaced = true;
        state.history.take()
    }

    /// The state for the page, with the settings that are not those of this check itself.
    pub(super) fn overview(
        &self,
        kind: &'static str,
        severity: Severity,
        maintenance_until: Option<SystemTime>,
        interval: Duration,
    ) -> CheckOverview {
        let state = self.state.lock();
        let last =
            |outcome: &Outcome| LastRun { line: outcome.failure.clone(), cause: outcome.cause };
        CheckOverview {
            name: self.name.clone(),
            kind,
            target: scrub(self.check.target()),
            severity,
            maintenance_until,
            interval,
            limits: self.limits,
            last: state.last.as_ref().map(last),
            observations: state.observations.clone(),
            history: state.history.clone(),
        }
    }

    pub(super) fn target(&self) -> &str {
        self.check.target()
    }

    /// Lets a run continue without subscribers, so that the next caller gets its outcome.
    pub(super) fn detach(&self, run: Arc<Run>) {
        self.state.lock().detach(run);
    }

    fn unexpired<'a>(&self, state: &'a State) -> Option<&'a Outcome> {
        state.last.as_ref().filter(|last| last.completed.elapsed() < self.limits.max_age)
    }

    /// Whether the check must not run before its last result has expired, even for a fresh report.
    fn is_rate_limited(&self) -> bool {
        self.check.min_interval().is_some()
    }

    /// When the caller stops waiting, and what is reported then. After a timeout, that is before `limit` if `overdue_wait` is shorter.
    fn fallback(
        &self,
        state: &State,
        requested: Instant,
        limit: Option<WaitLimit>,
    ) -> Option<(Instant, Fallback)> {
        let Some(last) = state.last.as_ref().filter(|last| last.timed_out()) else {
            return limit.map(|limit| (limit.at, Fallback::NotFinished(limit.reason)));
        };
        let at = requested + self.limits.overdue_wait;
        let at = limit.map_or(at, |limit| limit.at.min(at));
        Some((at, Fallback::LastTimeout(last.clone())))
    }

    fn join_or_start(self: &Arc<Self>, state: &mut State) -> Arc<Run> {
        if let Some(run) = state.run.upgrade() {
            return run;
        }
        let (publish, outcome) = watch::channel(None);
        let steps = Arc::new(Steps::within(self.limits.timeout));
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let run = Arc::new(Run { outcome, steps: steps.clone(), _cancel_on_drop: guard });
        state.run = Arc::downgrade(&run);
        // If the run of a rate-limited check were cancelled, it would be repeated for the next caller.
        state.detached = self.is_rate_limited().then(|| run.clone());
        tokio::spawn(self.clone().drive(Arc::downgrade(&run), steps, cancel, publish));
        run
    }

    /// Runs the check once a permit is available, and publishes its outcome.
    async fn drive(
        self: Arc<Self>,
        run: Weak<Run>,
        steps: Arc<Steps>,
        cancelled: CancellationToken,
        publish: watch::Sender<Option<Outcome>>,
    ) {
        let permit = cancelled.run_until_cancelled(self.permit(&steps)).await;
        let Some(Some(_permit)) = permit else { return };
        let (check, blocking) = (self.check.clone(), self.blocking.clone());
        let timeout = self.limits.timeout;
        let mut handle = RunHandle::start(check, blocking, steps.clone(), timeout, cancelled);
        if let Some(outcome) = handle.outcome().await {
            self.record(&run, &outcome, &steps, handle.is_finished());
            publish.send_replace(Some(outcome));
        }
        if let Some(outcome) = handle.blocked().await {
            self.record(&run, &outcome, &steps, false);
            publish.send_replace(Some(outcome));
        }
        // A check that blocks its thread is not started again until it has returned.
        handle.join().await;
        self.state.lock().forget(&run);
    }

    /// Waits for a permit to run. The timeout of the check counts from then on.
    async fn permit(&self, steps: &Steps) -> Option<SemaphorePermit<'_>> {
        if let Some(permit) = self.limit.try_acquire() {
            return Some(permit);
        }
        steps.begin(WAIT_FOR_A_TURN);
        let permit = self.limit.acquire().await;
        steps.begin(START);
        permit
    }

    /// Stores an outcome. If its run has `finished`, later callers get a new run, which begins after their requests.
    fn record(&self, run: &Weak<Run>, outcome: &Outcome, steps: &Steps, finished: bool) {
        let (observations, durations) = (steps.observations(), steps.durations());
        let mut state = self.state.lock();
        let last = state.last.replace(outcome.clone());
        state.statistics.add(outcome, last.as_ref());
        let now = Moment::now();
        let transition = if state.is_replaced {
            None
        } else {
            History::add(&mut state.history, outcome, &durations, now)
        };
        // A run leaves no new allocation behind: it would keep memory in use that only this run needed, on each thread of the runtime.
        state.observations.clear();
        state.observations.extend(observations);
        self.outcomes.fetch_add(1, Ordering::Release);
        if finished {
            state.forget(run);
        } else if let Some(run) = run.upgrade() {
            state.detach(run);
        }
        drop(state);
        if let Some(transition) = transition {
            self.log_change(transition, outcome, now);
        }
    }

    /// Logs that the check has begun to fail or to work again, with the time that it had worked or failed before.
    fn log_change(&self, transition: Transition, outcome: &Outcome, now: Moment) {
        let Transition { since, step } = transition;
        let duration_seconds = since.map(|since| now.since(since).as_secs());
        let since = since.map(|since| rfc3339(since.wall()));
        let check = &*self.name;
        if let Some(status) = outcome.failure.as_deref() {
            tracing::warn!(check, status, step, since, duration_seconds, "check failed");
        } else {
            tracing::info!(check, step, since, duration_seconds, "check recovered");
        }
    }
}
