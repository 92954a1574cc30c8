//! Sends a task through a queue and waits for its result.
//!
//! The result proves that a worker process takes work from the queue; a reply to a broadcast proves only that the worker's main process is alive.
//! A canary outlives a check that is cut off. The next check sends another and waits for both, since the first may have been lost with its worker; there are never more than three at a time.
//! A canary with a result that arrives over AMQP keeps its connection open. If that is needed for a new connection, the canary is given up, and a check that waits for it sends another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Cleanups, Failure, Grant, Steps, in_seconds};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::result_backend::{BACKEND, ResultBackend};
use crate::task::Task;

/// The step in which a canary is sent and its result is awaited.
const STEP: &str = "canary";
/// How long a canary may take before it expires.
const LIFETIME: Duration = Duration::from_mins(1);
/// How long sending or withdrawing a task may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the result of a task may take that could not be withdrawn.
const LATE_RESULT: Duration = Duration::from_secs(1);
/// How many canaries of one queue may be in flight.
const MAX_IN_FLIGHT: usize = 3;
/// What is said of a canary that does not come back, while none ever has: with this setting, Celery 5.3 stores no result, whatever the message demands.
const NEVER: &str = "none has ever succeeded, see `task_ignore_result`";
/// How many expired tasks are remembered, so that their late results can be deleted.
const MAX_EXPIRED: usize = 100;

/// The canaries of one queue.
pub(crate) struct QueueCanary {
    broker: Broker,
    results: ResultBackend,
    queue: String,
    cleanups: Cleanups,
    state: watch::Sender<State>,
    /// Tasks that have expired or failed. Their results may still arrive.
    expired: Mutex<Vec<Task>>,
}

/// The state of a queue's canaries, as the checks that wait for them see it.
#[derive(Default)]
struct State {
    /// The canaries in flight, oldest first.
    in_flight: Vec<Canary>,
    /// How many canaries have returned or failed.
    outcomes: u64,
    latest_outcome: Option<Result<(), Failure>>,
    /// Whether a canary of the queue has ever come back.
    has_succeeded: bool,
}

/// A canary in flight.
struct Canary {
    number: u128,
    started: Instant,
    steps: Arc<Steps>,
    sent: bool,
}

/// How a canary ended.
enum Ending {
    /// It has returned or failed.
    Outcome(Result<(), Failure>),
    /// It has failed, but the task may be in the queue, and its result may arrive.
    Uncertain(Failure),
    /// There was no result within its lifetime.
    Expired,
    /// The connection on which its result would arrive was needed for another one.
    GivenUp,
}

impl QueueCanary {
    pub(crate) fn new(
        broker: Broker,
        results: ResultBackend,
        queue: &str,
        cleanups: Cleanups,
    ) -> Self {
        let (queue, state) = (queue.to_owned(), watch::Sender::default());
        Self { broker, results, queue, cleanups, state, expired: Mutex::default() }
    }

    /// The grants for sending a task and reading its result.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let send = self.broker.grants_to_send(&self.queue).into_iter();
        send.chain(self.results.grants()).collect()
    }

    /// Sends a canary and waits for it or an earlier one; `known` describes the queue in a timeout's message.
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
        let mut state = self.state.subscribe();
        let outcomes_before = state.borrow().outcomes;
        self.send_another(|state| state.in_flight.len() < MAX_IN_FLIGHT);
        loop {
            {
                let state = state.borrow_and_update();
                if let Some(outcome) = &state.latest_outcome
                    && state.outcomes > outcomes_before
                {
                    return outcome.clone();
                }
                state.describe(steps, known);
            }
            // Another takes the place of the last one if that was given up.
            self.send_another(|state| {
                state.in_flight.is_empty() && state.outcomes == outcomes_before
            });
            if state.changed().await.is_err() {
                return Err(Failure::msg(STEP, "the canary was abandoned"));
            }
        }
    }

    /// Sends a canary if `may_send` allows it.
    fn send_another(self: &Arc<Self>, may_send: impl Fn(&State) -> bool) {
        self.state.send_if_modified(|state| {
            if !may_send(state) {
                return false;
            }
            let (number, steps) = (rand::random(), Arc::new(Steps::new()));
            steps.begin(STEP);
            self.cleanups.spawn(self.clone().drive(number, steps.clone()));
            state.in_flight.push(Canary { number, started: Instant::now(), steps, sent: false });
            true
        });
    }

    /// Sends a canary and publishes its outcome. One that expires has no outcome while others are in flight, and one that is given up has none.
    async fn drive(self: Arc<Self>, number: u128, steps: Arc<Steps>) {
        let expired = std::mem::take(&mut *self.expired.lock());
        let still_expired = self.results.delete_late(expired).await;
        self.remember_expired(still_expired);
        let task = Task::new(LIFETIME);
        let ending = self.round_trip(&steps, number, &task).await;
        let is_uncertain = matches!(ending, Ending::Uncertain(_));
        let has_result = !is_uncertain && !matches!(ending, Ending::Expired);
        self.state.send_modify(|state| {
            state.in_flight.retain(|canary| canary.number != number);
            let outcome = match ending {
                Ending::Outcome(outcome) => outcome,
                Ending::Uncertain(failure) => Err(failure),
                Ending::Expired if state.in_flight.is_empty() => {
                    let hint =
                        if state.has_succeeded { String::new() } else { format!(" ({NEVER})") };
                    let lifetime = in_seconds(LIFETIME);
                    Err(Failure::msg(STEP, format!("no task came back within {lifetime}{hint}")))
                }
                Ending::Expired | Ending::GivenUp => return,
            };
            state.has_succeeded |= outcome.is_ok();
            state.latest_outcome = Some(outcome);
            state.outcomes += 1;
        });
        if !has_result {
            self.remember_expired(vec![task.clone()]);
        }
        if is_uncertain {
            self.withdraw(&steps, &task).await;
        }
    }

    /// Removes the task from the queue; returns whether it was still there, if that is known.
    ///
    /// Best effort: a worker discards a task that has expired.
    async fn withdraw(&self, steps: &Steps, task: &Task) -> Option<bool> {
        let withdraw = self.broker.withdraw(steps, &self.queue, task);
        timeout(SEND_TIMEOUT, withdraw).await.ok()?.ok()
    }

    fn remember_expired(&self, tasks: Vec<Task>) {
        let mut expired = self.expired.lock();
        expired.extend(tasks);
        let excess = expired.len().saturating_sub(MAX_EXPIRED);
        expired.drain(..excess);
    }

    /// Sends the task and waits for its result.
    async fn round_trip(&self, steps: &Steps, number: u128, task: &Task) -> Ending {
        let listens = self.results.is_rpc();
        let send = self.broker.send(steps, &self.queue, task, LIFETIME, listens);
        let mut deliveries = match timeout(SEND_TIMEOUT, send).await {
            Ok(Ok(deliveries)) => deliveries,
            Ok(Err(failure)) if failure.cause().is_connection_lost() => {
                return Ending::Uncertain(failure);
            }
            Ok(Err(failure)) => return Ending::Outcome(Err(failure)),
            Err(_) => return Ending::Uncertain(steps.timed_out(SEND_TIMEOUT)),
        };
        self.state.send_modify(|state| {
            let canary = state.in_flight.iter_mut().find(|canary| canary.number == number);
            if let Some(canary) = canary {
                canary.sent = true;
            }
        });
        let wait = timeout(LIFETIME, self.results.wait_for(task, &mut deliveries));
        tokio::select! {
            result = wait => if let Ok(result) = result {
                return match result {
                    Some(Err(failure)) if failure.step() == BACKEND => Ending::Uncertain(failure),
                    result => result.map_or(Ending::GivenUp, Ending::Outcome),
                };
            },
            () = self.cleanups.ending() => {}
        }
        if self.withdraw(steps, task).await == Some(false) {
            // A worker has just taken it.
            let late = timeout(LATE_RESULT, self.results.wait_for(task, &mut deliveries)).await;
            return late.ok().flatten().map_or(Ending::Expired, Ending::Outcome);
        }
        Ending::Expired
    }
}

impl State {
    /// Records in `steps` what a timeout reports.
    fn describe(&self, steps: &Steps, known: &str) {
        let Some(latest) = self.in_flight.last() else { return };
        if !latest.sent {
            return steps.follow(latest.steps.clone());
        }
        let silence = match &self.in_flight[..] {
            [first, _, ..] => {
                let (count, age) = (self.in_flight.len(), first.started.elapsed().as_secs_f64());
                format!("none of {count} tasks came back, the first sent {age:.1}s ago,")
            }
            _ => "no task came back".to_owned(),
        };
        let hint = if self.has_succeeded { String::new() } else { format!("; {NEVER}") };
        steps.begin_with(STEP, silence, format!("{known}{hint}"));
    }
}
