//! The check that a queue exists, is consumed and does not overflow.

use std::sync::Arc;

use amqp::Depth;
use probe::{Failure, Grant, Observation, Steps, count};

use crate::broadcast::{Broadcasts, LastJoined};
use crate::canary::QueueCanary;
use crate::findings::{Backlog, Findings};
use crate::progress::Progress;
use crate::settings::QueueSettings;

/// The step in which a queue is evaluated.
const STEP: &str = "queue";

pub(crate) struct QueueCheck {
    broadcasts: Arc<Broadcasts>,
    last_joined: LastJoined,
    name: String,
    max_messages: Option<u64>,
    /// How many consumers need not reply.
    max_silent: u64,
    progress: Progress,
    canary: Option<Arc<QueueCanary>>,
}

impl QueueCheck {
    pub(crate) fn new(
        broadcasts: Arc<Broadcasts>,
        settings: &QueueSettings,
        canary: Option<Arc<QueueCanary>>,
    ) -> Self {
        let QueueSettings { name, max_messages, max_silent, stalled_after, .. } = settings;
        Self {
            broadcasts,
            last_joined: LastJoined::default(),
            name: name.clone(),
            max_messages: *max_messages,
            max_silent: *max_silent,
            progress: Progress::new(*stalled_after),
            canary,
        }
    }

    pub(crate) fn target(&self) -> &str {
        self.broadcasts.target()
    }

    pub(crate) fn has_canary(&self) -> bool {
        self.canary.is_some()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let canary = self.canary.iter().flat_map(|canary| canary.grants());
        self.broadcasts.grants().into_iter().chain(canary).collect()
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let mut broadcast = self.broadcasts.join(&self.last_joined);
        let Some(canary) = &self.canary else {
            return broadcast.decide(steps, |findings, steps| self.evaluate(findings, steps)).await;
        };
        let backlog = broadcast
            .decide(steps, |findings, steps| self.evaluate_backlog(findings, steps))
            .await?;
        // The canary decides. Workers need not reply, but may show that it cannot come back.
        let known = backlog.describe();
        tokio::select! {
            result = canary.run(steps, &known) => result,
            failure = broadcast.wait_for(|findings| self.contradiction(findings)) => Err(failure),
        }
    }

    /// Evaluates what the broker reports about the queue; `None` until it is known.
    fn evaluate_backlog(
        &self,
        findings: &Findings,
        steps: &Steps,
    ) -> Option<Result<Backlog, Failure>> {
        let backlog = findings.backlog_of(&self.name)?;
        self.observe(&backlog, steps);
        let fail = |reason: String| Some(Err(Failure::msg(STEP, reason)));
        match &backlog {
            Backlog::Missing => return fail(format!("{} does not exist", self.name)),
            Backlog::Unavailable(reason) => return fail(reason.clone()),
            Backlog::Known(Depth { messages, consumers: 0 }) => {
                let waiting = count(*messages, "message", "messages");
                return fail(format!("{} has no consumer ({waiting} waiting)", self.name));
            }
            Backlog::Known(_) | Backlog::Waiting(_) => {}
        }
        if let Some(most) = self.max_messages.filter(|most| backlog.messages() > *most) {
            let known = backlog.describe();
            return fail(format!("{known} on {}, expected at most {most}", self.name));
        }
        if let Err(failure) = self.progress.observe(backlog.messages()) {
            return Some(Err(failure));
        }
        Some(Ok(backlog))
    }

    fn observe(&self, backlog: &Backlog, steps: &Steps) {
        let name = || self.name.as_str().into();
        if let Backlog::Known(_) | Backlog::Waiting(_) = backlog {
            steps.observe(Observation::QueueMessages(name(), backlog.messages()));
        }
        if let Backlog::Known(Depth { consumers, .. }) = backlog {
            steps.observe(Observation::QueueConsumers(name(), *consumers));
        }
    }

    /// The failure of a queue that none of the workers consumes, although all of them have replied.
    fn contradiction(&self, findings: &Findings) -> Option<Failure> {
        let backlog = findings.backlog_of(&self.name)?;
        let replied = findings.workers.len() as u64;
        let consumed = findings.consumers_of(&self.name).next().is_some();
        if consumed || replied == 0 || !findings.is_complete() {
            return None;
        }
        let (known, others) = (backlog.describe(), count(replied, "other worker", "other workers"));
        let reason = format!("no worker consumes {} ({known}, {others} answered)", self.name);
        Some(Failure::msg(STEP, reason))
    }

    /// Evaluates whether workers consume the queue; `None` while replies are missing.
    fn evaluate(&self, findings: &Findings, steps: &Steps) -> Option<Result<(), Failure>> {
        let backlog = match self.evaluate_backlog(findings, steps)? {
            Ok(backlog) => backlog,
            Err(failure) => return Some(Err(failure)),
        };
        if let Some(failure) = self.contradiction(findings) {
            return Some(Err(failure));
        }
        let known = backlog.describe();
        let consumers = findings.consumers_of(&self.name).count() as u64;
        let silent = findings.silent_consumers(&self.name, &backlog);
        if consumers > 0 && silent <= self.max_silent {
            return Some(Ok(()));
        }
        if let Some(refused) = findings.refused(&known) {
            return Some(Err(Failure::msg(STEP, refused)));
        }
        if findings.is_complete() {
            return Some(Err(Failure::msg(STEP, findings.no_workers(&known))));
        }
        if consumers > 0 {
            let all = count(consumers + silent, "consumer", "consumers");
            let silence = format!("no answer from {silent} of {all} of {}", self.name);
            steps.begin_with(STEP, silence, known);
        } else {
            let others = match findings.workers.len() as u64 {
                0 => String::new(),
                others => format!(", {} answered", count(others, "other worker", "other workers")),
            };
            let unreadable = findings.describe_unreadable();
            let silence = format!("{unreadable}no worker that consumes {} answered", self.name);
            steps.begin_with(STEP, silence, format!("{known}{others}"));
        }
        None
    }
}
