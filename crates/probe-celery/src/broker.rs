//! The broker of a Celery application, on either transport.

use std::sync::Arc;
use std::time::Duration;

use amqp::{BrokerUrls, Deliveries};
use probe::config::{Fields, FromNode, Node, UrlText, ValueError};
use probe::{Failure, Grant, Reconnect, SharedResources, Steps};

use crate::amqp_broker::AmqpBroker;
use crate::content::Serializer;
use crate::findings::FindingsSender;
use crate::inspect::{ControlExchanges, InspectRequest};
use crate::redis_broker::RedisBroker;
use crate::task::Task;
use crate::transport::TransportOptions;

/// What the settings of a section say about its broker, besides the URL.
pub(crate) struct BrokerOptions {
    pub(crate) queue_prefix: String,
    pub(crate) exchanges: ControlExchanges,
    pub(crate) transport_options: TransportOptions,
    pub(crate) serializer: Serializer,
    pub(crate) reconnect: Reconnect,
}

/// The URLs of a broker.
#[derive(Clone, Debug)]
pub(crate) enum BrokerUrl {
    Amqp(BrokerUrls),
    Redis(UrlText),
}

impl BrokerUrl {
    /// Whether a connection uses TLS.
    pub(crate) fn is_encrypted(&self) -> bool {
        match self {
            Self::Amqp(urls) => urls.is_encrypted(),
            Self::Redis(text) => redis_client::is_encrypted(text.expose()),
        }
    }
}

impl FromNode for BrokerUrl {
    fn from_node(node: &Node) -> Result<Self, ValueError> {
        let text = UrlText::from_node(node)?;
        if BrokerUrls::has_scheme(text.expose()) {
            return BrokerUrls::from_node(node).map(Self::Amqp);
        }
        if redis_client::has_scheme(text.expose()) {
            return Ok(Self::Redis(text));
        }
        Err("expected a URL that begins with `amqp://`, `amqps://`, `redis://`, `rediss://`, `redis-sentinel://`, `rediss-sentinel://` or `unix://`".to_owned().into())
    }
}

/// A broker on AMQP or Redis.
#[derive(Clone)]
pub(crate) enum Broker {
    Amqp(AmqpBroker),
    Redis(Arc<RedisBroker>),
}

impl Broker {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        url: &BrokerUrl,
        tls: &net::TlsSettings,
        options: BrokerOptions,
    ) -> Option<Self> {
        match url {
            BrokerUrl::Amqp(_) if options.transport_options != TransportOptions::default() => {
                fields.error("transport_options", "expected only with a broker on Redis");
                None
            }
            BrokerUrl::Redis(_) if fields.has("queue_prefix") => {
                fields.error("queue_prefix", "expected only with a broker on AMQP");
                None
            }
            BrokerUrl::Amqp(urls) => {
                AmqpBroker::read(shared, fields, urls, tls, options).map(Self::Amqp)
            }
            BrokerUrl::Redis(text) => {
                RedisBroker::read(shared, fields, text, tls, options).map(Self::Redis)
            }
        }
    }

    /// The broker's `host:port`.
    pub(crate) fn target(&self) -> &str {
        match self {
            Self::Amqp(broker) => broker.target(),
            Self::Redis(broker) => broker.target(),
        }
    }

    /// The grants for a broadcast and the backlogs of these queues.
    pub(crate) fn grants(&self, queues: &[String]) -> Vec<Grant> {
        match self {
            Self::Amqp(broker) => broker.grants(),
            Self::Redis(broker) => broker.grants(queues),
        }
    }

    /// The grants for sending a task through this queue.
    pub(crate) fn grants_to_send(&self, queue: &str) -> Vec<Grant> {
        match self {
            Self::Amqp(broker) => broker.grants_to_send(),
            Self::Redis(broker) => broker.grants_to_send(queue),
        }
    }

    /// Broadcasts `request`, if there is one, to all workers and publishes the backlogs and the replies.
    ///
    /// Returns when all replies have arrived or no check watches the findings any more.
    pub(crate) async fn broadcast(
        &self,
        steps: &Steps,
        request: Option<&InspectRequest>,
        queues: &[String],
        findings: &FindingsSender,
    ) -> Result<(), Failure> {
        match self {
            Self::Amqp(broker) => broker.broadcast(steps, request, queues, findings).await,
            Self::Redis(broker) => broker.broadcast(steps, request, queues, findings).await,
        }
    }

    /// Sends a task through a queue; on AMQP the message expires after `lifetime`, and if the sender `listens` for the result there, returns the messages to it.
    ///
    /// After a lost connection or a timeout, the broker may have received the task.
    pub(crate) async fn send(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
        lifetime: Duration,
        listens: bool,
    ) -> Result<Option<Deliveries>, Failure> {
        match self {
            Self::Amqp(broker) => broker.send(steps, queue, task, lifetime, listens).await,
            Self::Redis(broker) => broker.send(steps, queue, task).await.map(|()| None),
        }
    }

    /// Removes a task from the queue; returns whether no worker had taken it. On AMQP the message expires in the broker.
    pub(crate) async fn withdraw(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
    ) -> Result<bool, Failure> {
        match self {
            Self::Amqp(_) => Ok(true),
            Self::Redis(broker) => broker.withdraw(steps, queue, task).await,
        }
    }
}
