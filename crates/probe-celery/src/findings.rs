//! What an inquiry has found out so far; the checks watch it grow.

use std::collections::BTreeMap;
use std::time::Duration;

use amqp::Depth;
use probe::Failure;
use tokio::sync::watch;

use crate::question::Reply;

/// Checks of one run begin at the same time; on a busy machine, this long after one another.
pub(crate) const SAME_RUN: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// How full the queues are, in the order of the configuration, from the moment when the broker has taken the question.
    pub(crate) depths: Option<Vec<(String, Backlog)>>,
    /// How many workers the question went to, where the broker tells.
    pub(crate) asked: Option<u64>,
    /// The workers that answered, and the queues that each of them takes from.
    pub(crate) workers: BTreeMap<String, Vec<String>>,
    /// Why nothing more will come, if it failed.
    pub(crate) failure: Option<Failure>,
}

/// What a broker knows of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// The broker knows no such queue.
    Missing,
    /// Messages that wait, and consumers, dead or alive.
    Known(Depth),
    /// Messages that wait, on a broker that knows of no consumers.
    Waiting(u64),
}

impl Findings {
    /// Whether everybody whom the question went to has answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.asked.is_some_and(|asked| self.workers.len() as u64 >= asked)
    }

    /// How full a queue is, as soon as that is known.
    pub(crate) fn backlog_of(&self, queue: &str) -> Option<Backlog> {
        let mut depths = self.depths.iter().flatten();
        depths.find(|(name, _)| name == queue).map(|(_, backlog)| *backlog)
    }

    /// The workers that answered and take from this queue.
    pub(crate) fn consumers_of<'a>(&'a self, queue: &'a str) -> impl Iterator<Item = &'a str> {
        self.workers
            .iter()
            .filter(move |(_, queues)| queues.iter().any(|name| name == queue))
            .map(|(worker, _)| worker.as_str())
    }

    /// What is known of all queues, for whoever looks for the reason.
    pub(crate) fn queues(&self) -> String {
        let described = self.depths.iter().flatten().map(|(name, backlog)| backlog.described(name));
        described.collect::<Vec<_>>().join("; ")
    }
}

impl Backlog {
    /// So many messages wait.
    pub(crate) fn messages(self) -> u64 {
        match self {
            Self::Missing => 0,
            Self::Known(depth) => depth.messages,
            Self::Waiting(messages) => messages,
        }
    }

    /// Without the queue's name, where it is clear.
    pub(crate) fn brief(self) -> String {
        match self {
            Self::Missing => "it does not exist".to_owned(),
            Self::Known(Depth { messages, consumers }) => {
                format!("{}, {} waiting", count(consumers, "consumer"), count(messages, "message"))
            }
            Self::Waiting(messages) => format!("{} waiting", count(messages, "message")),
        }
    }

    fn described(self, name: &str) -> String {
        match self {
            Self::Missing => format!("no queue {name}"),
            Self::Known(Depth { messages, consumers }) => {
                let (consumers, messages) =
                    (count(consumers, "consumer"), count(messages, "message"));
                format!("{consumers} on {name}, {messages} waiting")
            }
            Self::Waiting(messages) => format!("{} waiting on {name}", count(messages, "message")),
        }
    }
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The side on which findings are reported.
pub(crate) struct Report(watch::Sender<Findings>);

impl Report {
    pub(crate) fn new() -> (Self, watch::Receiver<Findings>) {
        let (sender, receiver) = watch::channel(Findings::default());
        (Self(sender), receiver)
    }

    /// The broker has taken the question, for so many workers if it tells.
    pub(crate) fn asked(&self, asked: Option<u64>, depths: Vec<(String, Backlog)>) {
        self.0.send_modify(|findings| {
            findings.asked = asked;
            findings.depths = Some(depths);
        });
    }

    /// A worker has answered; whether all of them have now.
    pub(crate) fn answered(&self, reply: Reply) -> bool {
        self.0.send_modify(|findings| {
            findings.workers.insert(reply.worker, reply.queues);
        });
        self.0.borrow().is_complete()
    }

    /// Nothing more will come.
    pub(crate) fn failed(&self, failure: Failure) {
        self.0.send_modify(|findings| findings.failure = Some(failure));
    }

    /// Another one who watches.
    pub(crate) fn watch(&self) -> watch::Receiver<Findings> {
        self.0.subscribe()
    }

    /// Waits until nobody has watched for a while: the checks of one run do not come all at once.
    pub(crate) async fn abandoned(&self) {
        loop {
            self.0.closed().await;
            tokio::time::sleep(SAME_RUN).await;
            if self.0.is_closed() {
                return;
            }
        }
    }
}
