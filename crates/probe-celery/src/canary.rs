//! Sends a task through a queue and waits for its result.
//!
//! The result proves that a worker process takes work from the queue; a reply to a broadcast proves only that the worker's main process is alive.
//! A canary outlives a check that is cut off, and the next check waits for it, so there is never more than one in a queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Cleanups, Failure, Grant, Steps};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::result_backend::ResultBackend;
use crate::task::Task;

/// The step in which a canary is sent and its result is awaited.
const STEP: &str = "canary";
/// How long a canary may take before it expires.
const LIFETIME: Duration = Duration::from_mins(1);
/// How long sending or withdrawing a task may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the result of a task may take that could not be withdrawn.
const LATE_RESULT: Duration = Duration::from_secs(1);
/// How many expired tasks are remembered, so that their late results can be deleted.
const MAX_EXPIRED: usize = 100;

/// The canaries of one queue.
pub(crate) struct QueueCanary {
    broker: Broker,
    results: ResultBackend,
    queue: String,
    cleanups: Cleanups,
    current: Mutex<Option<Canary>>,
    /// Tasks that have expired, but whose results may still arrive.
    expired: Mutex<Vec<Task>>,
}

/// A canary, as the checks that wait for it see it.
#[derive(Clone)]
struct Canary {
    started: Instant,
    steps: Arc<Steps>,
    state: watch::Receiver<State>,
}

#[derive(Clone)]
enum State {
    Sending,
    Sent,
    Done(Result<(), Failure>),
}

/// The run that sent a canary.
enum SentBy {
    ThisRun,
    EarlierRun,
}

impl QueueCanary {
    pub(crate) fn new(
        broker: Broker,
        results: ResultBackend,
        queue: &str,
        cleanups: Cleanups,
    ) -> Self {
        Self {
            broker,
            results,
            queue: queue.to_owned(),
            cleanups,
            current: Mutex::default(),
            expired: Mutex::default(),
        }
    }

    /// The grants for sending a task and reading its result.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let send = self.broker.grants_to_send(&self.queue).into_iter();
        send.chain(self.results.grants()).collect()
    }

    /// Waits for the canary in flight, or sends one; `known` describes the queue in a timeout's message.
    pub(crate) async fn run(self: &Arc<Self>, steps: &Steps, known: &str) -> Result<(), Failure> {
        let result = self.run_once(steps, known).await;
        match result {
            // A lost connection is not evidence about the queue.
            Err(failure) if failure.cause().is_connection_lost() => {
                self.run_once(steps, known).await
            }
            result => result,
        }
    }

    async fn run_once(self: &Arc<Self>, steps: &Steps, known: &str) -> Result<(), Failure> {
        let (mut canary, sent_by) = self.join_or_send();
        steps.follow(canary.steps.clone());
        loop {
            let state = canary.state.borrow_and_update().clone();
            match state {
                State::Sending => {}
                State::Sent => {
                    steps.begin_with(STEP, timeout_reason(&sent_by, canary.started), known);
                }
                State::Done(result) => return result,
            }
            if canary.state.changed().await.is_err() {
                return Err(Failure::msg(STEP, "the canary was abandoned"));
            }
        }
    }

    /// The canary in flight, or a new one.
    fn join_or_send(self: &Arc<Self>) -> (Canary, SentBy) {
        let mut current = self.current.lock();
        let is_in_flight = |canary: &&Canary| {
            !matches!(*canary.state.borrow(), State::Done(_)) && canary.state.has_changed().is_ok()
        };
        if let Some(canary) = current.as_ref().filter(is_in_flight) {
            return (canary.clone(), SentBy::EarlierRun);
        }
        let (sender, state) = watch::channel(State::Sending);
        let canary = Canary { started: Instant::now(), steps: Arc::default(), state };
        canary.steps.begin(STEP);
        self.cleanups.spawn(self.clone().drive(canary.steps.clone(), sender));
        *current = Some(canary.clone());
        (canary, SentBy::ThisRun)
    }

    async fn drive(self: Arc<Self>, steps: Arc<Steps>, state: watch::Sender<State>) {
        let expired = std::mem::take(&mut *self.expired.lock());
        let mut expired = self.results.delete_late(expired).await;
        let task = Task::new(LIFETIME);
        let result = self.round_trip(&steps, &state, &task).await;
        if result.is_none() {
            expired.push(task);
        }
        let excess = expired.len().saturating_sub(MAX_EXPIRED);
        expired.drain(..excess);
        *self.expired.lock() = expired;
        let expired = || Failure::msg(STEP, format!("no task came back within {LIFETIME:?}"));
        state.send_replace(State::Done(result.unwrap_or_else(|| Err(expired()))));
    }

    /// Sends the task and waits for its result; `None` if there is none within the task's lifetime.
    async fn round_trip(
        &self,
        steps: &Steps,
        state: &watch::Sender<State>,
        task: &Task,
    ) -> Option<Result<(), Failure>> {
        let send = self.broker.send(steps, &self.queue, task, LIFETIME);
        let mut sent = match timeout(SEND_TIMEOUT, send).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(failure)) => return Some(Err(failure)),
            Err(_) => return Some(Err(steps.timed_out(SEND_TIMEOUT))),
        };
        state.send_replace(State::Sent);
        let wait = timeout(LIFETIME, self.results.wait_for(task, &mut sent));
        tokio::select! {
            result = wait => if let Ok(result) = result {
                return Some(result);
            },
            () = self.cleanups.ending() => {}
        }
        // Best effort: a worker discards a task that has expired.
        let withdrawn = timeout(SEND_TIMEOUT, sent.withdraw(steps, &self.queue)).await;
        if let Ok(Ok(false)) = withdrawn {
            // A worker has just taken it.
            return timeout(LATE_RESULT, self.results.wait_for(task, &mut sent)).await.ok();
        }
        None
    }
}

/// Why a run that waited for a canary timed out.
fn timeout_reason(sent_by: &SentBy, started: Instant) -> String {
    match sent_by {
        SentBy::ThisRun => "no task came back".to_owned(),
        SentBy::EarlierRun => {
            let age = started.elapsed().as_secs_f64();
            format!("a task sent {age:.1}s ago did not come back")
        }
    }
}
