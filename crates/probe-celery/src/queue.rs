//! Whether a queue is there, is worked on, and does not overflow.

use std::sync::Arc;

use amqp::Depth;
use probe::{Failure, Grant, Steps};

use crate::canary::Canary;
use crate::findings::{Backlog, Findings, count};
use crate::inquiry::{Inquiries, Seen};
use crate::settings::QueueSettings;

/// The step in which a queue is judged.
const STEP: &str = "queue";

pub(crate) struct Queue {
    inquiries: Arc<Inquiries>,
    seen: Seen,
    name: String,
    max_messages: Option<u64>,
    canary: Option<Arc<Canary>>,
}

impl Queue {
    pub(crate) fn new(
        inquiries: Arc<Inquiries>,
        settings: &QueueSettings,
        canary: Option<Arc<Canary>>,
    ) -> Self {
        let QueueSettings { name, max_messages, .. } = settings;
        Self {
            inquiries,
            seen: Seen::default(),
            name: name.clone(),
            max_messages: *max_messages,
            canary,
        }
    }

    pub(crate) fn target(&self) -> &str {
        self.inquiries.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        let canary = self.canary.iter().flat_map(|canary| canary.grants());
        self.inquiries.grants().into_iter().chain(canary).collect()
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let view = self.inquiries.join(&self.seen);
        let backlog = view.until(steps, |findings, steps| self.judge(findings, steps)).await?;
        match &self.canary {
            Some(canary) => canary.fly(steps, &backlog.brief()).await,
            None => Ok(()),
        }
    }

    fn judge(&self, findings: &Findings, steps: &Steps) -> Option<Result<Backlog, Failure>> {
        let backlog = findings.backlog_of(&self.name)?;
        let known = backlog.brief();
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
