//! One check: its last outcome, its history, and its run in progress, which callers share.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use probe::{DynCheck, Observation, Steps, scrub};
use tokio::sync::{Notify, SemaphorePermit, watch};
use tokio::time::sleep;
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
use crate::runtime::record_progress;
use crate::share::{Acquired, LEASE, Lease, Listener, SharedCheck, SharedRun};
use crate::timestamp::rfc3339;

/// The step of a run that waits for a permit of the concurrency limit, or until an earlier run has returned.
const WAIT_FOR_A_TURN: &str = "wait for a turn";
/// The step of a run that waits for that of another replica.
const WAIT_FOR_A_REPLICA: &str = "wait for the run of another replica";
/// The steps before the run of a check, which its response time does not include.
pub(crate) const WAITS: [&str; 2] = [WAIT_FOR_A_TURN, WAIT_FOR_A_REPLICA];
/// The step of a run before the first step of its check, as in [`Steps::new`].
const START: &str = "start";

/// How long after the end of a lease the others ask for it, at the latest, so that they do not ask together.
const TAKEOVER: Duration = Duration::from_millis(100);

/// The longest delay of a run that no caller waits for, if replicas cannot share runs.
const MAX_DELAY: Duration = Duration::from_secs(10);

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
    /// Notified when there is a result of another replica.
    shared_result: Notify,
}

/// A run in progress. It is cancelled when the last reference to it is dropped.
pub(super) struct Run {
    pub(super) outcome: watch::Receiver<Option<Outcome>>,
    pub(super) steps: Arc<Steps>,
    demand: Arc<Demand>,
    _cancel_on_drop: DropGuard,
}

/// What the subscribers of a run accept in its place.
struct Demand {
    /// The maximum age of another replica's result in milliseconds.
    max_age: AtomicU64,
    has_caller: AtomicBool,
    /// Notified when a caller joins.
    joined: Notify,
}

/// How a run of a shared check continues.
enum Turn {
    /// It has the outcome of another replica.
    Taken(Outcome),
    /// It runs the check, with the lease if the store is available.
    Run(Option<Lease>),
}

/// What the metrics show of the last outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LastOutcome {
    /// The step that failed.
    pub(crate) failed_step: Option<&'static str>,
    pub(crate) age: Duration,
    /// Whether it is that of another replica.
    pub(crate) is_shared: bool,
}

#[derive(Default)]
struct State {
    /// The name of the namespace, which a new configuration may change.
    namespace: Arc<str>,
    last: Option<Outcome>,
    /// What the last run observed.
    observations: Vec<Observation>,
    statistics: Statistics,
    /// It begins with the first outcome.
    history: Option<Box<History>>,
    /// Whether a check of a new configuration continues the history.
    is_replaced: bool,
    /// How its results are shared with other replicas, if they are.
    share: Option<Arc<SharedCheck>>,
    /// The highest number of a lease with a result that is known here.
    fence: u64,
    /// Whether that is the lease of the last outcome, which may have had none.
    is_leased: bool,
    /// The run in progress. Its subscribers own it, so that it ends with the last of them.
    run: Weak<Run>,
    /// The same run, if it continues without subscribers.
    detached: Option<Arc<Run>>,
    /// The run that has begun last, until it has ended, and its outcome. It may be one that its subscribers have left.
    begun: Option<(Weak<Run>, watch::Receiver<Option<Outcome>>)>,
}

impl State {
    /// Lets `run` continue without subscribers, unless it has ended.
    fn detach(&mut self, run: Arc<Run>) {
        if self.run.ptr_eq(&Arc::downgrade(&run)) {
            self.detached = Some(run);
        }
    }

    /// Stops sharing `run`, which has ended, so that the next request starts another one.
    fn forget(&mut self, run: &Weak<Run>) {
        if self.run.ptr_eq(run) {
            self.run = Weak::new();
            self.detached = None;
        }
        self.begun.take_if(|(begun, _)| begun.ptr_eq(run));
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
            shared_result: Notify::new(),
        }
    }

    /// Names the namespace that the log shows.
    pub(super) fn set_namespace(&self, namespace: Arc<str>) {
        self.state.lock().namespace = namespace;
    }

    /// Shares its results with other replicas from now on, or runs it without regard to them.
    pub(super) fn set_share(&self, share: Option<Arc<SharedCheck>>) {
        self.state.lock().share = share;
    }

    /// The result for a caller that asked at `requested`: that of the last outcome if it may be served, or else that of a run.
    ///
    /// The run has been started when this returns, so that the checks of a report run at the same time.
    pub(super) fn request(
        self: &Arc<Self>,
        fresh: bool,
        limit: Option<WaitLimit>,
        requested: Instant,
    ) -> PendingResult {
        let fresh = fresh && !self.is_rate_limited();
        let mut state = self.state.lock();
        if !fresh && let Some(last) = self.unexpired(&state) {
            return PendingResult::Ready(ReportedResult::cached(last));
        }
        let fallback = self.fallback(&state, requested, limit);
        let max_age = if fresh { Duration::ZERO } else { self.limits.max_age };
        let run = self.join_or_start(&mut state, max_age);
        run.demand.add_caller();
        PendingResult::Running(Subscriber { check: self.clone(), run, requested, fallback })
    }

    /// Joins the run in progress or starts one, and waits for its outcome however long it takes. A result of another replica may be as old as `max_age`.
    pub(super) fn subscribe(self: &Arc<Self>, max_age: Duration) -> Subscriber {
        let run = self.join_or_start(&mut self.state.lock(), max_age);
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
                schedule.after_result(last.completed).max(last.completed + self.limits.max_age)
            }
        }
    }

    pub(super) fn name(&self) -> Arc<str> {
        self.name.clone()
    }

    pub(super) fn limits(&self) -> CheckLimits {
        self.limits
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
            is_shared: last.seen_by.is_some(),
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
        is_shared: bool,
    ) -> CheckOverview {
        let state = self.state.lock();
        let last = |outcome: &Outcome| LastRun {
            line: outcome.failure.clone(),
            cause: outcome.cause,
            seen_by: outcome.seen_by.clone(),
        };
        CheckOverview {
            name: self.name.clone(),
            kind,
            target: scrub(self.check.target()),
            severity,
            maintenance_until,
            interval,
            is_shared,
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

    /// Joins the run in progress or starts one, which may take over a result of another replica that is not older than `max_age`.
    fn join_or_start(self: &Arc<Self>, state: &mut State, max_age: Duration) -> Arc<Run> {
        if let Some(run) = state.run.upgrade() {
            run.demand.limit(max_age);
            return run;
        }
        let demand = Arc::new(Demand::new(max_age));
        let share = state.share.clone();
        let (publish, outcome) = watch::channel(None);
        let steps = Arc::new(Steps::within(self.limits.timeout));
        let cancel = CancellationToken::new();
        let guard = cancel.clone().drop_guard();
        let run =
            Run { outcome, steps: steps.clone(), demand: demand.clone(), _cancel_on_drop: guard };
        let run = Arc::new(run);
        state.run = Arc::downgrade(&run);
        // If the run of a rate-limited check were cancelled, it would be repeated for the next caller. Other replicas may wait for a shared run.
        state.detached = (self.is_rate_limited() || share.is_some()).then(|| run.clone());
        let shared = share.map(|share| (share, demand));
        tokio::spawn(self.clone().drive(Arc::downgrade(&run), steps, cancel, publish, shared));
        run
    }

    /// Runs the check once a permit is available, unless another replica does, and publishes its outcome.
    async fn drive(
        self: Arc<Self>,
        run: Weak<Run>,
        steps: Arc<Steps>,
        cancelled: CancellationToken,
        publish: watch::Sender<Option<Outcome>>,
        shared: Option<(Arc<SharedCheck>, Arc<Demand>)>,
    ) {
        record_progress();
        if !self.begin(&run, &steps, &cancelled, &publish).await {
            return;
        }
        let Some((share, demand)) = shared else {
            return self.run_check(run, steps, cancelled, publish, None).await;
        };
        // Boxed, because it is large and most checks are not shared.
        Box::pin(async {
            match self.take_turn(&share, &demand, &steps).await {
                Turn::Taken(outcome) => {
                    self.state.lock().forget(&run);
                    publish.send_replace(Some(outcome));
                }
                Turn::Run(lease) => self.run_leased(run, steps, cancelled, publish, lease).await,
            }
        })
        .await;
    }

    /// Begins a run. If its subscribers have left an earlier one that blocks its thread, that has to return before.
    ///
    /// Returns `false` if this run is cancelled before, or has the outcome of the earlier one.
    async fn begin(
        &self,
        run: &Weak<Run>,
        steps: &Steps,
        cancelled: &CancellationToken,
        publish: &watch::Sender<Option<Outcome>>,
    ) -> bool {
        while let Err(earlier) = self.try_begin(run, publish) {
            steps.begin(WAIT_FOR_A_TURN);
            if !Box::pin(self.follow(earlier, run, cancelled, publish)).await {
                return false;
            }
            steps.begin(START);
        }
        true
    }

    /// Begins a run, or returns the outcome of an earlier one that has not returned yet.
    fn try_begin(
        &self,
        run: &Weak<Run>,
        publish: &watch::Sender<Option<Outcome>>,
    ) -> Result<(), watch::Receiver<Option<Outcome>>> {
        let mut state = self.state.lock();
        match &state.begun {
            // The channel is closed if a run was cancelled before its check has started.
            Some((_, outcome)) if outcome.has_changed().is_ok() => Err(outcome.clone()),
            _ => {
                state.begun = Some((run.clone(), publish.subscribe()));
                Ok(())
            }
        }
    }

    /// Publishes the outcomes of an `earlier` run until that has returned. Returns whether it had none, and this run was not cancelled.
    async fn follow(
        &self,
        mut earlier: watch::Receiver<Option<Outcome>>,
        run: &Weak<Run>,
        cancelled: &CancellationToken,
        publish: &watch::Sender<Option<Outcome>>,
    ) -> bool {
        while let Some(changed) = cancelled.run_until_cancelled(earlier.changed()).await {
            if changed.is_err() {
                let has_outcome = publish.borrow().is_some();
                if has_outcome {
                    self.state.lock().forget(run);
                }
                return !has_outcome;
            }
            publish.send_replace(earlier.borrow_and_update().clone());
            if let Some(run) = run.upgrade() {
                self.detach(run);
            }
        }
        false
    }

    /// Waits for the result of another replica, or until this one has to run the check: because it has the lease, because the store is unavailable, or because the others take too long.
    async fn take_turn(&self, share: &Arc<SharedCheck>, demand: &Demand, steps: &Steps) -> Turn {
        let began = Instant::now();
        let give_up = began + self.limits.timeout + LEASE;
        let mut is_ignored = false;
        while Instant::now() < give_up {
            let mut result = pin!(self.shared_result.notified());
            result.as_mut().enable();
            if let Some(outcome) = self.taken(began, demand) {
                return Turn::Taken(outcome);
            }
            let max_age = if is_ignored { Duration::ZERO } else { demand.max_age() };
            let fence = self.state.lock().fence;
            match share.acquire(max_age, fence).await {
                Acquired::Lease(lease) => return Turn::Run(Some(lease)),
                // The store was not asked for it.
                Acquired::Run(_) if is_ignored => break,
                Acquired::Run(run) => {
                    self.receive(run);
                    if let Some(outcome) = self.taken(began, demand) {
                        return Turn::Taken(outcome);
                    }
                    // A run with the lease replaces the record.
                    is_ignored = true;
                }
                Acquired::Ignored if !is_ignored => is_ignored = true,
                Acquired::Ignored | Acquired::Late => break,
                Acquired::Unavailable => {
                    demand.delay_without_caller().await;
                    break;
                }
                Acquired::Held(left) => {
                    steps.begin(WAIT_FOR_A_REPLICA);
                    tokio::select! {
                        () = result => {}
                        () = share.alone() => {}
                        () = sleep(left + TAKEOVER.mul_f64(rand::random())) => {}
                    }
                }
            }
        }
        steps.begin(START);
        Turn::Run(None)
    }

    /// The last outcome of another replica, if it is recent enough for a subscriber that has waited since `began`.
    fn taken(&self, began: Instant, demand: &Demand) -> Option<Outcome> {
        let state = self.state.lock();
        let last = state.last.as_ref().filter(|last| last.seen_by.is_some())?;
        let is_new = last.completed >= began || last.completed.elapsed() < demand.max_age();
        is_new.then(|| last.clone())
    }

    /// Runs the check as [`Self::run_check`] does. If there is a `lease`, it is renewed meanwhile, and the outcome is published to the other replicas.
    async fn run_leased(
        &self,
        run: Weak<Run>,
        steps: Arc<Steps>,
        cancelled: CancellationToken,
        publish: watch::Sender<Option<Outcome>>,
        lease: Option<Lease>,
    ) {
        let work = self.run_check(run, steps, cancelled, publish, lease.as_ref());
        let Some(lease) = &lease else { return work.await };
        let mut work = pin!(work);
        tokio::select! {
            () = &mut work => {}
            () = lease.renew() => work.await,
        }
    }

    /// Runs the check once a permit is available, and publishes its outcome.
    async fn run_check(
        &self,
        run: Weak<Run>,
        steps: Arc<Steps>,
        cancelled: CancellationToken,
        publish: watch::Sender<Option<Outcome>>,
        lease: Option<&Lease>,
    ) {
        let permit = cancelled.run_until_cancelled(self.permit(&steps)).await;
        let mut permit = permit.flatten();
        if permit.is_none() {
            return;
        }
        let (check, blocking) = (self.check.clone(), self.blocking.clone());
        let timeout = self.limits.timeout;
        let mut handle = RunHandle::start(check, blocking, steps.clone(), timeout, cancelled);
        let fence = lease.map_or(0, Lease::fence);
        if let Some(outcome) = handle.outcome().await {
            let last = self.record(&run, &outcome, &steps, handle.is_finished(), fence);
            publish.send_replace(Some(last));
            if handle.is_finished() {
                drop(permit.take());
            }
            if let Some(lease) = lease {
                let (durations, observations) = (steps.durations(), steps.observations());
                Box::pin(lease.publish(&outcome, &durations, &observations)).await;
            }
        }
        if let Some(outcome) = handle.blocked().await {
            let last = self.record(&run, &outcome, &steps, false, fence);
            publish.send_replace(Some(last));
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

    /// Stores an outcome, unless there is one of a later lease, and returns the one that is stored then. If its run has `finished`, later callers get a new run, which begins after their requests.
    /// `fence` is the number of its lease, or 0 if it has none.
    fn record(
        &self,
        run: &Weak<Run>,
        outcome: &Outcome,
        steps: &Steps,
        finished: bool,
        fence: u64,
    ) -> Outcome {
        record_progress();
        let (observations, durations) = (steps.observations(), steps.durations());
        let mut state = self.state.lock();
        if finished {
            state.forget(run);
        } else if let Some(run) = run.upgrade() {
            state.detach(run);
        }
        // This process was paused, or could not use the store, and another replica has run the check since.
        if fence > 0
            && fence < state.fence
            && let Some(last) = &state.last
        {
            return last.clone();
        }
        state.fence = state.fence.max(fence);
        state.is_leased = fence > 0;
        self.store(state, outcome, observations, &durations);
        outcome.clone()
    }

    /// Stores an outcome, and logs a change.
    fn store(
        &self,
        mut state: MutexGuard<'_, State>,
        outcome: &Outcome,
        observations: Vec<Observation>,
        durations: &[(&'static str, Duration)],
    ) {
        let last = state.last.replace(outcome.clone());
        state.statistics.add(outcome, last.as_ref());
        let now = Moment::now();
        let transition = if state.is_replaced {
            None
        } else {
            History::add(&mut state.history, outcome, durations, now)
        };
        // A run leaves no new allocation behind: it would keep memory in use that only this run needed, on each thread of the runtime.
        state.observations.clear();
        state.observations.extend(observations);
        self.outcomes.fetch_add(1, Ordering::Release);
        let Some(transition) = transition else { return };
        let namespace = state.namespace.clone();
        drop(state);
        self.log_change(&namespace, transition, outcome, now);
    }

    /// Logs that the check has begun to fail or to work again, with the time that it had worked or failed before.
    fn log_change(&self, namespace: &str, change: Transition, outcome: &Outcome, now: Moment) {
        let Transition { since, step } = change;
        let duration_seconds = since.map(|since| now.since(since).as_secs());
        let since = since.map(|since| rfc3339(since.wall()));
        let check = &*self.name;
        let shared = outcome.seen_by.as_ref().map(|_| true);
        if let Some(status) = outcome.failure.as_deref() {
            tracing::warn!(
                namespace,
                check,
                status,
                step,
                since,
                duration_seconds,
                shared,
                "check failed"
            );
        } else {
            tracing::info!(
                namespace,
                check,
                step,
                since,
                duration_seconds,
                shared,
                "check recovered"
            );
        }
    }
}

impl Listener for CachedCheck {
    /// Takes over the result of another replica, unless one of a later lease is known, or a newer one without a lease.
    fn receive(&self, run: SharedRun) {
        let SharedRun { outcome, durations, observations, fence } = run;
        let mut state = self.state.lock();
        let is_newer = |last: &Outcome| state.is_leased || outcome.completed > last.completed;
        if fence > state.fence && state.last.as_ref().is_none_or(is_newer) {
            (state.fence, state.is_leased) = (fence, true);
            self.store(state, &outcome, observations, &durations);
        } else {
            drop(state);
        }
        self.wake();
    }

    /// Runs the check without a caller of this replica, and for a rate-limited one only if its result has expired.
    fn run(self: Arc<Self>) {
        let mut state = self.state.lock();
        // The message is not authenticated.
        if self.is_rate_limited() && self.unexpired(&state).is_some() {
            return;
        }
        let max_age = if self.is_rate_limited() { self.limits.max_age } else { Duration::ZERO };
        let run = self.join_or_start(&mut state, max_age);
        run.demand.add_caller();
        state.detach(run);
    }

    fn wake(&self) {
        self.shared_result.notify_waiters();
    }
}

impl Demand {
    fn new(max_age: Duration) -> Self {
        let (has_caller, joined) = (AtomicBool::default(), Notify::new());
        Self { max_age: AtomicU64::new(milliseconds(max_age)), has_caller, joined }
    }

    fn limit(&self, max_age: Duration) {
        self.max_age.fetch_min(milliseconds(max_age), Ordering::Relaxed);
    }

    fn max_age(&self) -> Duration {
        Duration::from_millis(self.max_age.load(Ordering::Relaxed))
    }

    fn add_caller(&self) {
        self.has_caller.store(true, Ordering::Relaxed);
        self.joined.notify_one();
    }

    /// Waits for a random time, but not while there is a caller, so that replicas that cannot share a run do not begin it together.
    async fn delay_without_caller(&self) {
        if !self.has_caller.load(Ordering::Relaxed) {
            let delay = self.max_age().min(MAX_DELAY).mul_f64(rand::random());
            tokio::select! {
                () = sleep(delay) => {}
                () = self.joined.notified() => {}
            }
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
