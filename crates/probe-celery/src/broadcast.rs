//! One inspect request to all workers, shared by all checks of a run.

use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use probe::{Cleanups, Failure, Grant, Steps};
use tokio::sync::watch;

use crate::broker::Broker;
use crate::findings::{Findings, FindingsSender, SAME_RUN, WorkerQueues};
use crate::inspect::{InspectRequest, REPEAT_INTERVAL};

/// How long no request is sent after the first one that no worker answered, if none ever has. Each further one doubles the pause.
const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The broadcasts of one application.
pub(crate) struct Broadcasts {
    broker: Broker,
    queues: Vec<String>,
    cleanups: Cleanups,
    known_workers: Arc<Mutex<WorkerQueues>>,
    latest: Mutex<Latest>,
    pause: Mutex<Option<Pause>>,
}

/// While workers seem to refuse the requests, most runs send none: each would be an error in the logs of all workers.
#[derive(Clone, Copy)]
struct Pause {
    length: Duration,
    end: Instant,
}

/// The latest broadcast.
#[derive(Default)]
struct Latest {
    number: u64,
    broadcast: Option<(Instant, Weak<Broadcast>)>,
}

/// A request, which stays in flight for as long as a check watches its findings.
struct Broadcast {
    findings: FindingsSender,
    steps: Arc<Steps>,
}

/// The number of the broadcast that a check joined last: each broadcast serves each check at most once.
#[derive(Default)]
pub(crate) struct LastJoined(AtomicU64);

/// A check's part in a broadcast.
pub(crate) struct JoinedBroadcast {
    findings: watch::Receiver<Findings>,
    steps: Arc<Steps>,
}

impl Broadcasts {
    pub(crate) fn new(broker: Broker, queues: Vec<String>, cleanups: Cleanups) -> Self {
        Self {
            broker,
            queues,
            cleanups,
            known_workers: Arc::default(),
            latest: Mutex::default(),
            pause: Mutex::default(),
        }
    }

    /// The broker's `host:port`.
    pub(crate) fn target(&self) -> &str {
        self.broker.target()
    }

    /// The grants that a broadcast needs.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.broker.grants(&self.queues)
    }

    /// Joins the broadcast that another check of this run has started, or starts one.
    pub(crate) fn join(self: &Arc<Self>, last_joined: &LastJoined) -> JoinedBroadcast {
        let mut latest = self.latest.lock();
        let joined_before = last_joined.0.load(Ordering::Relaxed);
        let of_this_run =
            latest.broadcast.as_ref().filter(|(started, _)| started.elapsed() < SAME_RUN);
        let joinable = of_this_run
            .filter(|_| latest.number > joined_before)
            .and_then(|(_, broadcast)| broadcast.upgrade());
        if let Some(broadcast) = joinable {
            last_joined.0.store(latest.number, Ordering::Relaxed);
            let (findings, steps) = (broadcast.findings.subscribe(), broadcast.steps.clone());
            return JoinedBroadcast { findings, steps };
        }
        let (sender, findings) =
            FindingsSender::new(self.known_workers.clone(), self.cleanups.clone());
        let broadcast = Arc::new(Broadcast { findings: sender, steps: Arc::default() });
        broadcast.steps.begin("ask");
        latest.number += 1;
        latest.broadcast = Some((Instant::now(), Arc::downgrade(&broadcast)));
        last_joined.0.store(latest.number, Ordering::Relaxed);
        let joined = JoinedBroadcast { findings, steps: broadcast.steps.clone() };
        self.cleanups.spawn(self.clone().run(broadcast));
        joined
    }

    async fn run(self: Arc<Self>, broadcast: Arc<Broadcast>) {
        let Broadcast { findings, steps } = &*broadcast;
        let began = Instant::now();
        let pause = self.pause.lock().filter(|pause| pause.end > began);
        findings.not_asked(pause.map(|pause| pause.end - began));
        let request = pause.is_none().then(|| InspectRequest::new(!self.queues.is_empty()));
        let sent = tokio::select! {
            sent = self.broker.broadcast(steps, request.as_ref(), &self.queues, findings) => sent,
            never = self.notice_refusal(request.is_some(), findings) => match never {},
        };
        if let Err(failure) = sent {
            findings.fail(failure);
        }
        // Checks that join later still receive the findings.
        findings.abandoned().await;
        if request.is_some() && !findings.is_refused() {
            *self.pause.lock() = None;
        }
    }

    /// Begins a pause, longer than the one before, if workers seem to refuse the request.
    async fn notice_refusal(&self, was_asked: bool, findings: &FindingsSender) -> Infallible {
        tokio::time::sleep(REPEAT_INTERVAL).await;
        if was_asked && findings.is_refused() {
            let mut pause = self.pause.lock();
            let length = pause.map_or(FIRST_PAUSE, |pause| (pause.length * 2).min(LONGEST_PAUSE));
            *pause = Some(Pause { length, end: Instant::now() + length });
        }
        pending().await
    }
}

impl JoinedBroadcast {
    /// Waits until the findings suffice for a result of `evaluate`, which may record in `steps` what a timeout would report.
    pub(crate) async fn decide<T>(
        &mut self,
        steps: &Steps,
        evaluate: impl Fn(&Findings, &Steps) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        steps.follow(self.steps.clone());
        loop {
            let result = {
                let findings = self.findings.borrow_and_update();
                match &findings.failure {
                    Some(failure) => Some(Err(failure.clone())),
                    None if findings.backlogs.is_some() => {
                        steps.on_server(findings.other_server.clone());
                        evaluate(&findings, steps).map(|result| findings.name_server(result))
                    }
                    None => None,
                }
            };
            if let Some(result) = result {
                return result;
            }
            if self.findings.changed().await.is_err() {
                return Err(Failure::msg(steps.current(), "the broadcast was abandoned"));
            }
        }
    }

    /// Waits until `find` returns something about the findings, which may be never.
    pub(crate) async fn wait_for<T>(&mut self, find: impl Fn(&Findings) -> Option<T>) -> T {
        loop {
            if let Some(found) = find(&self.findings.borrow_and_update()) {
                return found;
            }
            if self.findings.changed().await.is_err() {
                return pending().await;
            }
        }
    }
}
