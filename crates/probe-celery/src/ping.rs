//! Whether the workers that are expected answer.

use std::sync::Arc;

use probe::{Failure, Grant, Steps};

use crate::PING;
use crate::findings::{Findings, count};
use crate::inquiry::{Inquiries, Seen};
use crate::settings::Workers;

pub(crate) struct Ping {
    inquiries: Arc<Inquiries>,
    seen: Seen,
    workers: Workers,
}

impl Ping {
    pub(crate) fn new(inquiries: Arc<Inquiries>, workers: Workers) -> Self {
        Self { inquiries, seen: Seen::default(), workers }
    }

    pub(crate) fn target(&self) -> &str {
        self.inquiries.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.inquiries.grants()
    }

    pub(crate) async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let view = self.inquiries.join(&self.seen);
        view.until(steps, |findings, steps| judge(&self.workers, findings, steps)).await
    }
}

fn judge(workers: &Workers, findings: &Findings, steps: &Steps) -> Option<Result<(), Failure>> {
    let missing = workers.missing(findings);
    if missing.is_empty() {
        return Some(Ok(()));
    }
    let queues = findings.queues();
    let nobody = findings.workers.is_empty();
    if findings.is_complete() {
        let gone = if nobody { "no worker is connected".to_owned() } else { missing };
        let known = if queues.is_empty() { queues } else { format!(" ({queues})") };
        return Some(Err(Failure::msg(PING, format!("{gone}{known}"))));
    }
    let silence = if nobody { "no worker answered".to_owned() } else { missing };
    steps.begin_with(PING, silence, queues);
    None
}

impl Workers {
    /// Who did not answer yet, in words; empty if nobody is missing.
    fn missing(&self, findings: &Findings) -> String {
        match self {
            Self::AtLeast(number) if findings.workers.len() < *number => {
                let answered = count(findings.workers.len() as u64, "worker");
                format!("{answered} answered, {number} expected")
            }
            Self::AtLeast(_) => String::new(),
            Self::Named(names) => {
                let missing = names.iter().filter(|name| !findings.workers.contains_key(*name));
                let missing: Vec<_> = missing.map(String::as_str).collect();
                if missing.is_empty() {
                    return String::new();
                }
                format!("no answer from {}", missing.join(", "))
            }
        }
    }
}
