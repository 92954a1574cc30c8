//! The check that a queue exists, is consumed and does not overflow.

use std::sync::Arc;

use amqp::Depth;
use probe::{Failure, Grant, Steps};

use crate::broadcast::{Broadcasts, LastJoined};
use crate::canary::QueueCanary;
use crate::findings::{Backlog, Findings, count};
use crate::settings::QueueSettings;

/// The step in which a queue is judged.
const STEP: &str = "queue";

pub(crate) struct QueueCheck {
    broadcasts: Arc<Broadcasts>,
    last_joined: LastJoined,
    name: String,
    max_messages: Option<u64>,
    canary: Option<Arc<QueueCanary>>,
}

impl QueueCheck {
    pub(crate) fn new(
        broadcasts: Arc<Broadcasts>,
        settings: &QueueSettings,
        canary: Option<Arc<QueueCanary>>,
    ) -> Self {
        let QueueSettings { name, max_messages, .. } = settings;
        Self {
            broadcasts,
            last_joined: LastJoined::default(),
            name: name.clone(),
            max_messages: *max_messages,
            canary,
        }
    }

    pub(crate) fn target(&self) -> &str {
        self.broadcasts.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let canary = self.canary.iter().flat_map(|canary| canary.grants());
        self.broadcasts.grants().into_iter().chain(canary).collect()
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let broadcast = self.broadcasts.join(&self.last_joined);
        let backlog =
            broadcast.verdict(steps, |findings, steps| self.judge(findings, steps)).await?;
        match &self.canary {
            Some(canary) => canary.run(steps, &backlog.describe()).await,
            None => Ok(()),
        }
    }

    fn judge(&self, findings: &Findings, steps: &Steps) -> Option<Result<Backlog, Failure>> {
        let backlog = findings.backlog_of(&self.name)?;
        let known = backlog.describe();
        let fail = |reason: String| Some(Err(Failure::msg(STEP, reason)));
        match backlog {
            Backlog::Missing => return fail(format!("{} does not exist", self.name)),
            Backlog::Known(Depth { messages, consumers: 0 }) => {
                let waiting = count(messages, "message");
                return fail(format!("{} has no consumer ({waiting} waiting)", self.name));
            }
            Backlog::Known(_) | Backlog::Waiting(_) => {}
        }
        if let Some(most) = self.max_messages.filter(|most| backlog.messages() > *most) {
            return fail(format!("{known} on {}, expected at most {most}", self.name));
        }
        if findings.consumers_of(&self.name).next().is_some() {
            return Some(Ok(backlog));
        }
        let others = match findings.workers.len() as u64 {
            0 => String::new(),
            others => format!(", {} answered", count(others, "other worker")),
        };
        if findings.is_complete() && others.is_empty() {
            return fail(format!("no worker is connected ({known})"));
        }
        if findings.is_complete() {
            return fail(format!("no worker consumes {} ({known}{others})", self.name));
        }
        let silence = format!("no worker that consumes {} answered", self.name);
        steps.begin_with(STEP, silence, format!("{known}{others}"));
        None
    }
}
