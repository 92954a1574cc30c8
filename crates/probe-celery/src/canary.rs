//! A task that is sent through a queue and must come back done: proof that a worker's child takes work from it.
//!
//! It flies on its own: a check that is cut off leaves it to the next one, so that there is never more than one in a queue.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use probe::{Failure, Grant, Steps};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::results::Results;
use crate::task::Task;

/// The step in which a canary is sent and waited for.
const STEP: &str = "canary";
/// How long it may take to come back before it is given up.
const LIFETIME: Duration = Duration::from_mins(1);
/// How long sending may take, should nobody wait for it any more.
const SENDING: Duration = Duration::from_secs(10);
/// Of so many that did not come back it is remembered that their results may still have to be removed.
const REMEMBERED: usize = 100;

/// The canaries of one queue.
pub(crate) struct Canary {
    broker: Broker,
    results: Results,
    queue: String,
    flight: Mutex<Option<Flight>>,
    /// Those that were given up, and whose results may come all the same.
    lost: Mutex<Vec<Task>>,
}

#[derive(Clone)]
struct Flight {
    begun: Instant,
    steps: Arc<Steps>,
    stage: watch::Receiver<Stage>,
}

/// Which run sent the task of a flight.
enum Whose {
    ThisRun,
    EarlierRun,
}

#[derive(Clone)]
enum Stage {
    Leaving,
    Away,
    Ended(Result<(), Failure>),
}

impl Canary {
    pub(crate) fn new(broker: Broker, results: Results, queue: &str) -> Self {
        Self {
            broker,
            results,
            queue: queue.to_owned(),
            flight: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// What it takes to send one, and to see it come back.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        let sent = self.broker.grants_to_send(&self.queue).into_iter();
        sent.chain(self.results.grants()).collect()
    }

    /// Waits for the canary that is away, or sends one; `known` is what else is known of the queue.
    pub(crate) async fn fly(self: &Arc<Self>, steps: &Steps, known: &str) -> Result<(), Failure> {
        let result = self.one(steps, known).await;
        match result {
            // A connection that was lost proves nothing about the queue.
            Err(failure) if failure.cause().is_connection_lost() => self.one(steps, known).await,
            decided => decided,
        }
    }

    async fn one(self: &Arc<Self>, steps: &Steps, known: &str) -> Result<(), Failure> {
        let (mut flight, whose) = self.flight();
        steps.follow(flight.steps.clone());
        loop {
            let stage = flight.stage.borrow_and_update().clone();
            match stage {
                Stage::Leaving => {}
                Stage::Away => steps.begin_with(STEP, silence(&whose, flight.begun), known),
                Stage::Ended(result) => return result,
            }
            if flight.stage.changed().await.is_err() {
                return Err(Failure::msg(STEP, "it was given up"));
            }
        }
    }

    /// The flight under way, or a new one.
    fn flight(self: &Arc<Self>) -> (Flight, Whose) {
        let mut current = self.flight.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = |flight: &&Flight| {
            !matches!(*flight.stage.borrow(), Stage::Ended(_)) && flight.stage.has_changed().is_ok()
        };
        if let Some(flight) = current.as_ref().filter(under_way) {
            return (flight.clone(), Whose::EarlierRun);
        }
        let (sender, stage) = watch::channel(Stage::Leaving);
        let flight = Flight { begun: Instant::now(), steps: Arc::default(), stage };
        flight.steps.begin(STEP);
        tokio::spawn(self.clone().run(flight.steps.clone(), sender));
        *current = Some(flight.clone());
        (flight, Whose::ThisRun)
    }

    async fn run(self: Arc<Self>, steps: Arc<Steps>, stage: watch::Sender<Stage>) {
        let lost = std::mem::take(&mut *self.lost());
        let mut lost = self.results.forget(lost).await;
        let task = Task::new(LIFETIME);
        let result = self.there_and_back(&steps, &stage, &task).await;
        if result.is_none() {
            lost.push(task);
        }
        let forgotten = lost.len().saturating_sub(REMEMBERED);
        lost.drain(..forgotten);
        *self.lost() = lost;
        let given_up = || Failure::msg(STEP, format!("no task came back within {LIFETIME:?}"));
        stage.send_replace(Stage::Ended(result.unwrap_or_else(|| Err(given_up()))));
    }

    /// `None` if it did not come back.
    async fn there_and_back(
        &self,
        steps: &Steps,
        stage: &watch::Sender<Stage>,
        task: &Task,
    ) -> Option<Result<(), Failure>> {
        let sending = self.broker.send(steps, &self.queue, task, LIFETIME);
        let mut sent = match timeout(SENDING, sending).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(failure)) => return Some(Err(failure)),
            Err(_) => return Some(Err(steps.timed_out(SENDING))),
        };
        stage.send_replace(Stage::Away);
        if let Ok(result) = timeout(LIFETIME, self.results.of(task, &mut sent)).await {
            return Some(result);
        }
        // If the broker does not answer just now, the worker that comes to it throws it away.
        let _taken = timeout(SENDING, sent.take_back(steps, &self.queue)).await;
        None
    }

    fn lost(&self) -> std::sync::MutexGuard<'_, Vec<Task>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is silent: the task of this run, or one that was away before.
fn silence(whose: &Whose, begun: Instant) -> String {
    match whose {
        Whose::ThisRun => "no task came back".to_owned(),
        Whose::EarlierRun => {
            let ago = begun.elapsed().as_secs_f64();
            format!("a task sent {ago:.1}s ago did not come back")
        }
    }
}
