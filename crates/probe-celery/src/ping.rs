//! The check that the expected workers reply.

use std::sync::Arc;

use probe::{Failure, Grant, Observation, Steps, count};

use crate::PING;
use crate::broadcast::{Broadcasts, LastJoined};
use crate::findings::Findings;
use crate::settings::Workers;

pub(crate) struct PingCheck {
    broadcasts: Arc<Broadcasts>,
    last_joined: LastJoined,
    workers: Workers,
}

impl PingCheck {
    pub(crate) fn new(broadcasts: Arc<Broadcasts>, workers: Workers) -> Self {
        Self { broadcasts, last_joined: LastJoined::default(), workers }
    }

    pub(crate) fn target(&self) -> &str {
        self.broadcasts.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.broadcasts.grants()
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let mut broadcast = self.broadcasts.join(&self.last_joined);
        steps.observe(Observation::CeleryWorkersExpected(self.workers.expected()));
        broadcast.decide(steps, |findings, steps| evaluate(&self.workers, findings, steps)).await
    }
}

fn evaluate(workers: &Workers, findings: &Findings, steps: &Steps) -> Option<Result<(), Failure>> {
    steps.observe(Observation::CeleryWorkers(findings.replies() as u64));
    let missing = workers.missing(findings);
    if missing.is_empty() {
        return Some(Ok(()));
    }
    let mut queues = findings.describe_backlogs();
    let no_replies = findings.replies() == 0;
    if let Some(refused) = findings.refused(&queues) {
        return Some(Err(Failure::msg(PING, refused)));
    }
    if findings.is_complete() {
        let known = if queues.is_empty() { String::new() } else { format!(" ({queues})") };
        let reason =
            if no_replies { findings.no_workers(&queues) } else { format!("{missing}{known}") };
        return Some(Err(Failure::msg(PING, reason)));
    }
    let silence = if no_replies { "no worker answered".to_owned() } else { missing };
    if findings.has_never_been_answered() {
        let separator = if queues.is_empty() { "" } else { "; " };
        queues = format!("{queues}{separator}none ever has, see `accept_content`");
    }
    steps.begin_with(PING, silence, queues);
    None
}

impl Workers {
    /// How many workers must reply.
    fn expected(&self) -> u64 {
        match self {
            Self::AtLeast(number) => *number as u64,
            Self::Named(names) => names.len() as u64,
        }
    }

    /// Describes the workers that have not replied; empty if none is missing.
    fn missing(&self, findings: &Findings) -> String {
        match self {
            Self::AtLeast(number) if findings.replies() < *number => {
                let unreadable = findings.describe_unreadable();
                let (singular, plural) = if unreadable.is_empty() {
                    ("worker", "workers")
                } else {
                    ("other worker", "other workers")
                };
                let answered = count(findings.workers.len() as u64, singular, plural);
                format!("{unreadable}{answered} answered, {number} expected")
            }
            Self::AtLeast(_) => String::new(),
            Self::Named(names) => {
                let missing = names.iter().filter(|name| !findings.workers.contains_key(*name));
                let missing: Vec<_> = missing.map(String::as_str).collect();
                if missing.is_empty() {
                    return String::new();
                }
                format!("{}no answer from {}", findings.describe_unreadable(), missing.join(", "))
            }
        }
    }
}
