//! The broker of a Celery application, on either of its transports.

use std::sync::Arc;
use std::time::Duration;

use probe::config::{Fields, Url};
use probe::{Failure, Grant, SharedResources, Steps};

use crate::amqp_broker::AmqpBroker;
use crate::findings::Report;
use crate::question::Question;
use crate::redis_broker::RedisBroker;
use crate::task::Task;

/// Where the workers are reached.
#[derive(Clone)]
pub(crate) enum Broker {
    Amqp(AmqpBroker),
    Redis(Arc<RedisBroker>),
}

impl Broker {
    /// What a broker's URL may begin with; the double `s` and `amqps` stand for TLS.
    pub(crate) const SCHEMES: &[&str] =
        &["amqp", "amqps", "redis", "rediss", "redis-sentinel", "rediss-sentinel"];

    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &Url,
        tls: &net::TlsSettings,
        queue_prefix: String,
    ) -> Option<Self> {
        if url.scheme().starts_with("amqp") {
            return AmqpBroker::read(shared, fields, url, tls, queue_prefix).map(Self::Amqp);
        }
        if fields.has("queue_prefix") {
            fields.error("queue_prefix", "expected only with a broker on AMQP");
            return None;
        }
        RedisBroker::read(shared, fields, url, tls).map(Self::Redis)
    }

    pub(crate) fn is_encrypted(url: &Url) -> bool {
        amqp::is_encrypted(url) || redis_client::is_encrypted(url)
    }

    /// The broker's `host:port`.
    pub(crate) fn target(&self) -> &str {
        match self {
            Self::Amqp(broker) => broker.target(),
            Self::Redis(broker) => broker.target(),
        }
    }

    /// What it takes to ask the workers, and how full these queues are.
    pub(crate) fn grants(&self, queues: &[String]) -> Vec<Grant> {
        match self {
            Self::Amqp(broker) => broker.grants(),
            Self::Redis(broker) => broker.grants(queues),
        }
    }

    /// What it takes to send a task through this queue.
    pub(crate) fn grants_to_send(&self, queue: &str) -> Vec<Grant> {
        match self {
            Self::Amqp(broker) => broker.grants_to_send(),
            Self::Redis(broker) => broker.grants_to_send(queue),
        }
    }

    /// Puts the question to all workers, looks how full the queues are, and reports whatever comes in until nobody listens any more or nothing is left to come.
    pub(crate) async fn ask(
        &self,
        steps: &Steps,
        question: &Question,
        queues: &[String],
        report: &Report,
    ) -> Result<(), Failure> {
        match self {
            Self::Amqp(broker) => broker.ask(steps, question, queues, report).await,
            Self::Redis(broker) => broker.ask(steps, question, queues, report).await,
        }
    }

    /// Sends a task through a queue; whoever comes too late for its result finds it gone.
    pub(crate) async fn send(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
        lifetime: Duration,
    ) -> Result<Sent, Failure> {
        match self {
            Self::Amqp(broker) => broker.send(steps, queue, task, lifetime).await.map(Sent::ByAmqp),
            Self::Redis(broker) => broker
                .send(steps, queue, task)
                .await
                .map(|message| Sent::ByRedis(broker.clone(), message)),
        }
    }
}

/// A task that is on its way.
pub(crate) enum Sent {
    /// Its result comes by these letters, if results come by messages.
    ByAmqp(amqp::Deliveries),
    /// The message as it lies in the queue, by which it can be taken back.
    ByRedis(Arc<RedisBroker>, String),
}

impl Sent {
    /// Takes it back, if no worker has taken it yet. On AMQP, the broker itself throws it away.
    pub(crate) async fn take_back(&self, steps: &Steps, queue: &str) -> Result<(), Failure> {
        match self {
            Self::ByAmqp(_) => Ok(()),
            Self::ByRedis(broker, message) => broker.take_back(steps, queue, message).await,
        }
    }
}
