//! The findings of a broadcast so far, which the checks watch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use amqp::Depth;
use parking_lot::Mutex;
use probe::{Cleanups, Failure, count, in_largest_unit};
use tokio::sync::watch;

use crate::inspect::{InspectReply, REPEAT_INTERVAL, WorkerReply};

/// The checks of one run start within this time, even on a busy machine.
pub(crate) const SAME_RUN: Duration = Duration::from_millis(100);

/// Workers by their names, and the queues that each of them consumes.
pub(crate) type WorkerQueues = BTreeMap<String, Vec<String>>;

/// The state of the broker and of the workers, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// The backlogs of the queues, in the order of the configuration; `None` until the broker has accepted the request.
    pub(crate) backlogs: Option<Vec<(String, Backlog)>>,
    /// The number of workers that received the request, if the broker reports it.
    pub(crate) recipients: Option<u64>,
    /// The workers that replied.
    pub(crate) workers: WorkerQueues,
    /// How a worker replied if its reply cannot be read.
    pub(crate) unreadable: Option<String>,
    /// The workers that replied to earlier broadcasts.
    pub(crate) known_workers: WorkerQueues,
    /// How long no request is sent yet, because workers seem to refuse them.
    pub(crate) not_asked: Option<Duration>,
    /// The server, unless it is the first one of the broker, which is the target of the checks.
    pub(crate) other_server: Option<String>,
    /// Why the broadcast failed, if it did.
    pub(crate) failure: Option<Failure>,
}

/// What the broker reports about a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// The queue does not exist.
    Missing,
    /// The broker cannot serve the queue, for this reason.
    Unavailable(String),
    /// The waiting messages and the consumers, including those of stopped workers.
    Known(Depth),
    /// The waiting messages, on a broker that does not track consumers.
    Waiting(u64),
}

impl Findings {
    /// Whether every worker that received the request has replied.
    pub(crate) fn is_complete(&self) -> bool {
        self.recipients.is_some_and(|recipients| self.workers.len() as u64 >= recipients)
    }

    /// The backlog of a queue, once it is known.
    pub(crate) fn backlog_of(&self, queue: &str) -> Option<Backlog> {
        let mut backlogs = self.backlogs.iter().flatten();
        backlogs.find(|(name, _)| name == queue).map(|(_, backlog)| backlog.clone())
    }

    /// The workers that replied and consume this queue.
    pub(crate) fn consumers_of<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = &'a str> {
        self.workers
            .iter()
            .filter(move |(_, queues)| queues.iter().any(|name| name == queue))
            .map(|(worker, _)| worker.as_str())
    }

    /// How many consumers of this queue have not replied, as far as it is known.
    pub(crate) fn silent_consumers(&self, queue: &str, backlog: &Backlog) -> u64 {
        let replied = self.consumers_of(queue).count() as u64;
        if let Backlog::Known(depth) = backlog {
            return depth.consumers.saturating_sub(replied);
        }
        // The broker only reports how many workers there are, so their earlier replies show which queues they consume.
        let silent = self.recipients.unwrap_or_default().saturating_sub(self.workers.len() as u64);
        let consumes = |queues: &Vec<String>| queues.iter().any(|name| name == queue);
        let absent = self
            .known_workers
            .iter()
            .filter(|(worker, queues)| !self.workers.contains_key(*worker) && consumes(queues));
        silent.min(absent.count() as u64)
    }

    /// How many workers have certainly replied.
    pub(crate) fn replies(&self) -> usize {
        // Those that cannot be read may all be of the same worker.
        self.workers.len() + usize::from(self.unreadable.is_some())
    }

    /// What is known of replies that cannot be read, before what is missing.
    pub(crate) fn describe_unreadable(&self) -> String {
        match &self.unreadable {
            Some(how) => format!("a worker answered {how}; "),
            None => String::new(),
        }
    }

    /// Names the server in a failure, unless the target of the check already does.
    pub(crate) fn name_server<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| match &self.other_server {
            Some(server) => failure.in_context(server),
            None => failure,
        })
    }

    /// Whether no worker has ever replied, so that it may not read the requests.
    pub(crate) fn has_never_been_answered(&self) -> bool {
        self.known_workers.is_empty() && self.replies() == 0
    }

    /// Why no request was sent, if none was; `known` describes the queues.
    pub(crate) fn refused(&self, known: &str) -> Option<String> {
        let left = in_largest_unit(self.not_asked?.as_secs().max(1));
        let known = if known.is_empty() { String::new() } else { format!("{known}; ") };
        Some(format!(
            "no worker has ever answered, see `accept_content` ({known}they are asked again in {left})"
        ))
    }

    /// Why there is no reply although all workers that received the request have replied; `known` describes the queues.
    pub(crate) fn no_workers(&self, known: &str) -> String {
        let known = if known.is_empty() { String::new() } else { format!(" ({known})") };
        let consumed =
            self.backlogs.iter().flatten().any(
                |(_, backlog)| matches!(backlog, Backlog::Known(depth) if depth.consumers > 0),
            );
        if consumed {
            format!(
                "no consumer takes part in remote control, see `worker_enable_remote_control` and `control_exchange`{known}"
            )
        } else {
            format!("no worker is connected{known}")
        }
    }

    /// Describes the backlogs of all queues.
    pub(crate) fn describe_backlogs(&self) -> String {
        let described =
            self.backlogs.iter().flatten().map(|(name, backlog)| backlog.describe_with_name(name));
        described.collect::<Vec<_>>().join("; ")
    }
}

impl Backlog {
    /// The number of waiting messages.
    pub(crate) fn messages(&self) -> u64 {
        match self {
            Self::Missing | Self::Unavailable(_) => 0,
            Self::Known(depth) => depth.messages,
            Self::Waiting(messages) => *messages,
        }
    }

    /// Describes the backlog without the queue's name.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Missing => "it does not exist".to_owned(),
            Self::Unavailable(reason) => reason.clone(),
            Self::Known(Depth { messages, consumers }) => {
                format!(
                    "{}, {} waiting",
                    count(*consumers, "consumer", "consumers"),
                    count(*messages, "message", "messages")
                )
            }
            Self::Waiting(messages) => {
                format!("{} waiting", count(*messages, "message", "messages"))
            }
        }
    }

    fn describe_with_name(&self, name: &str) -> String {
        match self {
            Self::Missing => format!("no queue {name}"),
            Self::Unavailable(reason) => reason.clone(),
            Self::Known(Depth { messages, consumers }) => {
                let (consumers, messages) = (
                    count(*consumers, "consumer", "consumers"),
                    count(*messages, "message", "messages"),
                );
                format!("{consumers} on {name}, {messages} waiting")
            }
            Self::Waiting(messages) => {
                format!("{} waiting on {name}", count(*messages, "message", "messages"))
            }
        }
    }
}

/// Publishes the findings of a broadcast to the checks that watch it.
pub(crate) struct FindingsSender {
    findings: watch::Sender<Findings>,
    /// The workers that later broadcasts know.
    known_workers: Arc<Mutex<WorkerQueues>>,
    cleanups: Cleanups,
}

impl FindingsSender {
    pub(crate) fn new(
        known_workers: Arc<Mutex<WorkerQueues>>,
        cleanups: Cleanups,
    ) -> (Self, watch::Receiver<Findings>) {
        let known = known_workers.lock().clone();
        let (findings, receiver) =
            watch::channel(Findings { known_workers: known, ..Findings::default() });
        (Self { findings, known_workers, cleanups }, receiver)
    }

    /// Records the server, unless it is the first one of the broker.
    pub(crate) fn on_server(&self, other_server: Option<String>) {
        self.findings.send_modify(|findings| findings.other_server = other_server);
    }

    /// Records how long no request is sent yet.
    pub(crate) fn not_asked(&self, left: Option<Duration>) {
        self.findings.send_modify(|findings| findings.not_asked = left);
    }

    /// Whether workers have received the request and none has ever answered one, so that they seem to refuse its content.
    pub(crate) fn is_refused(&self) -> bool {
        let findings = self.findings.borrow();
        findings.failure.is_none()
            && findings.backlogs.is_some()
            && findings.recipients != Some(0)
            && findings.has_never_been_answered()
    }

    /// Publishes that the broker has accepted the request, and for how many workers if it reports that.
    pub(crate) fn accepted(&self, recipients: Option<u64>, backlogs: Vec<(String, Backlog)>) {
        self.findings.send_modify(|findings| {
            findings.recipients = recipients;
            findings.backlogs = Some(backlogs);
        });
    }

    /// Publishes a worker's reply; returns whether all workers have replied now.
    pub(crate) fn replied(&self, reply: InspectReply) -> bool {
        match reply {
            InspectReply::Worker(WorkerReply { worker, queues }) => {
                // If the broker does not report the number of recipients, no broadcast is complete.
                let is_first = {
                    let findings = self.findings.borrow();
                    findings.recipients.is_none() && findings.workers.is_empty()
                };
                let mut known = self.known_workers.lock();
                if is_first {
                    known.clear();
                }
                known.insert(worker.clone(), queues.clone());
                drop(known);
                self.findings.send_modify(|findings| {
                    findings.workers.insert(worker, queues);
                });
            }
            InspectReply::Unreadable(how) => {
                self.findings.send_modify(|findings| findings.unreadable = Some(how));
            }
        }
        let findings = self.findings.borrow();
        let is_complete = findings.is_complete();
        if is_complete {
            // The others are no longer connected.
            self.known_workers.lock().retain(|worker, _| findings.workers.contains_key(worker));
        }
        is_complete
    }

    /// The workers that replied to earlier broadcasts and not to this one, unless none has.
    pub(crate) fn absent_workers(&self) -> BTreeSet<String> {
        let findings = self.findings.borrow();
        if findings.workers.is_empty() {
            return BTreeSet::new();
        }
        let known = findings.known_workers.keys();
        known.filter(|worker| !findings.workers.contains_key(*worker)).cloned().collect()
    }

    /// Forgets workers that have ended.
    pub(crate) fn forget(&self, ended: &BTreeSet<String>) {
        if ended.is_empty() {
            return;
        }
        self.known_workers.lock().retain(|worker, _| !ended.contains(worker));
        self.findings.send_modify(|findings| {
            findings.known_workers.retain(|worker, _| !ended.contains(worker));
        });
    }

    /// Whether a request may be repeated: a worker has read one. One that does not accept its content writes an error to its log each time.
    pub(crate) fn may_repeat(&self) -> bool {
        self.findings.borrow().unreadable.is_some() || !self.known_workers.lock().is_empty()
    }

    /// Waits until the request is to be repeated, which may be never.
    pub(crate) async fn repetition(&self) {
        loop {
            tokio::time::sleep(REPEAT_INTERVAL).await;
            if self.may_repeat() {
                return;
            }
        }
    }

    /// Publishes that the broadcast failed.
    pub(crate) fn fail(&self, failure: Failure) {
        self.findings.send_modify(|findings| findings.failure = Some(failure));
    }

    /// A receiver for another check.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Findings> {
        self.findings.subscribe()
    }

    /// Waits until there has been no receiver for a while, since the checks of one run do not start at the same instant, or until the process ends.
    pub(crate) async fn abandoned(&self) {
        let unwatched = async {
            loop {
                self.findings.closed().await;
                tokio::time::sleep(SAME_RUN).await;
                if self.findings.is_closed() {
                    return;
                }
            }
        };
        tokio::select! {
            () = unwatched => {}
            () = self.cleanups.ending() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workers that are known after a broadcast to this many recipients, to which these workers replied.
    fn broadcast(
        known: &Arc<Mutex<WorkerQueues>>,
        recipients: Option<u64>,
        names: &[&str],
    ) -> usize {
        let (sender, _receiver) = FindingsSender::new(known.clone(), Cleanups::default());
        sender.accepted(recipients, Vec::new());
        for name in names {
            let worker = (*name).to_owned();
            sender.replied(InspectReply::Worker(WorkerReply { worker, queues: Vec::new() }));
        }
        known.lock().len()
    }

    #[test]
    fn workers_of_earlier_broadcasts_are_forgotten_if_the_recipients_are_unknown() {
        let known = Arc::default();
        assert_eq!(broadcast(&known, None, &["a", "b"]), 2);
        assert_eq!(broadcast(&known, None, &["c", "d"]), 2);
        assert_eq!(broadcast(&known, None, &[]), 2, "workers have replied before");
    }

    #[test]
    fn workers_that_have_ended_are_forgotten_beside_one_that_replies() {
        let known = Arc::default();
        broadcast(&known, Some(3), &["a", "b", "c"]);
        let (sender, _receiver) = FindingsSender::new(known.clone(), Cleanups::default());
        sender.accepted(Some(2), Vec::new());
        assert!(sender.absent_workers().is_empty(), "no worker has replied");
        let worker = "a".to_owned();
        sender.replied(InspectReply::Worker(WorkerReply { worker, queues: Vec::new() }));
        let absent = sender.absent_workers();
        assert_eq!(absent, BTreeSet::from(["b".to_owned(), "c".to_owned()]));
        sender.forget(&BTreeSet::from(["c".to_owned()]));
        assert_eq!(known.lock().len(), 2);
        assert_eq!(sender.absent_workers(), BTreeSet::from(["b".to_owned()]));
    }
}
