//! One remote-control question that serves all checks of a run.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use probe::{Failure, Grant, Steps};
use tokio::sync::watch;

use crate::broker::Broker;
use crate::findings::{Findings, Report, SAME_RUN};
use crate::question::Question;

/// The inquiries of one application, one after the other.
pub(crate) struct Inquiries {
    broker: Broker,
    queues: Vec<String>,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Last {
    number: u64,
    inquiry: Option<(Instant, Weak<Inquiry>)>,
}

/// A question on its way; it goes on for as long as somebody watches.
struct Inquiry {
    report: Report,
    steps: Arc<Steps>,
}

/// What a check has seen of the inquiries: each serves each check at most once.
#[derive(Default)]
pub(crate) struct Seen(AtomicU64);

/// A check's view of the inquiry that it takes part in.
pub(crate) struct View {
    findings: watch::Receiver<Findings>,
    steps: Arc<Steps>,
}

impl Inquiries {
    pub(crate) fn new(broker: Broker, queues: Vec<String>) -> Self {
        Self { broker, queues, last: Mutex::default() }
    }

    /// The broker's `host:port`.
    pub(crate) fn target(&self) -> &str {
        self.broker.target()
    }

    /// What it takes to ask.
    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.broker.grants(&self.queues)
    }

    /// Joins the inquiry that another check of this run has begun, or begins one.
    pub(crate) fn join(self: &Arc<Self>, seen: &Seen) -> View {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.0.load(Ordering::Relaxed);
        let young = last.inquiry.as_ref().filter(|(begun, _)| begun.elapsed() < SAME_RUN);
        let known =
            young.filter(|_| last.number > before).and_then(|(_, inquiry)| inquiry.upgrade());
        if let Some(inquiry) = known {
            seen.0.store(last.number, Ordering::Relaxed);
            return View { findings: inquiry.report.watch(), steps: inquiry.steps.clone() };
        }
        let (report, findings) = Report::new();
        let inquiry = Arc::new(Inquiry { report, steps: Arc::default() });
        inquiry.steps.begin("ask");
        last.number += 1;
        last.inquiry = Some((Instant::now(), Arc::downgrade(&inquiry)));
        seen.0.store(last.number, Ordering::Relaxed);
        let view = View { findings, steps: inquiry.steps.clone() };
        tokio::spawn(self.clone().run(inquiry));
        view
    }

    async fn run(self: Arc<Self>, inquiry: Arc<Inquiry>) {
        let Inquiry { report, steps } = &*inquiry;
        let question = Question::new(!self.queues.is_empty());
        if let Err(failure) = self.broker.ask(steps, &question, &self.queues, report).await {
            report.failed(failure);
        }
        // Those who come a moment later still find what was found.
        report.abandoned().await;
    }
}

impl View {
    /// Waits until `judge` comes to a verdict on what was found; it may leave words with `steps` for the case that the deadline comes first.
    pub(crate) async fn until<T>(
        mut self,
        steps: &Steps,
        judge: impl Fn(&Findings, &Steps) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        steps.follow(self.steps.clone());
        loop {
            let verdict = {
                let findings = self.findings.borrow_and_update();
                match &findings.failure {
                    Some(failure) => Some(Err(failure.clone())),
                    None if findings.depths.is_some() => judge(&findings, steps),
                    None => None,
                }
            };
            if let Some(verdict) = verdict {
                return verdict;
            }
            if self.findings.changed().await.is_err() {
                return Err(Failure::msg(steps.current(), "the question was given up"));
            }
        }
    }
}
