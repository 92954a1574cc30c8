//! Celery on AMQP.

use std::sync::Arc;
use std::time::Duration;

use amqp::{Amqp, BrokerUrls, Connection, Deliveries, Publication, QueueState};
use probe::config::Fields;
use probe::{Cause, Failure, Grant, SharedResources, Steps};

use crate::broker::BrokerOptions;
use crate::content::Serializer;
use crate::findings::{Backlog, FindingsSender};
use crate::inspect::{ControlExchanges, InspectReply, InspectRequest};
use crate::task::Task;

/// How long a request stays in a worker's queue before it expires, so that requests do not pile up while the worker is stopped.
const REQUEST_EXPIRES: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct AmqpBroker {
    amqp: Amqp,
    exchanges: ControlExchanges,
    serializer: Serializer,
}

/// A request that the broker has accepted.
struct Accepted {
    deliveries: Deliveries,
    /// The number of recipients, if it is known.
    recipients: Option<u64>,
    backlogs: Vec<(String, Backlog)>,
    /// The server, unless it is the first one of the broker.
    other_server: Option<String>,
}

impl AmqpBroker {
    pub(crate) fn read(
        shared: &SharedResources,
        fields: &mut Fields<'_>,
        urls: &BrokerUrls,
        tls: &net::TlsSettings,
        BrokerOptions { queue_prefix, exchanges, serializer, reconnect, .. }: BrokerOptions,
    ) -> Option<Self> {
        let amqp = Amqp::read(shared, fields, "broker", urls, tls, queue_prefix, reconnect)?;
        Some(Self { amqp, exchanges, serializer })
    }

    pub(crate) fn target(&self) -> &str {
        self.amqp.target()
    }

    pub(crate) fn grants(&self) -> Vec<Grant> {
        self.amqp.grants(&[&to_all_workers(&self.exchanges)])
    }

    pub(crate) fn grants_to_send(&self) -> Vec<Grant> {
        self.amqp.grants(&[&Publication::default()])
    }

    pub(crate) async fn broadcast(
        &self,
        steps: &Steps,
        request: Option<&InspectRequest>,
        queues: &[String],
        findings: &FindingsSender,
    ) -> Result<(), Failure> {
        let mut losses = 0;
        // A cached connection may have been stale, so the request is published once more after a loss.
        while losses < 2 {
            let publish =
                self.amqp.run(steps, |connection| self.publish(connection, steps, request, queues));
            let Accepted { deliveries, recipients, backlogs, other_server } = tokio::select! {
                () = findings.abandoned() => return Ok(()),
                accepted = publish => accepted?,
            };
            findings.on_server(other_server);
            findings.accepted(recipients, backlogs);
            tokio::select! {
                () = findings.abandoned() => return Ok(()),
                () = receive(deliveries, &self.exchanges, findings) => losses += 1,
                () = findings.repetition() => {}
            }
        }
        Err(Failure::new("ask", Cause::msg("connection closed").connection_lost()))
    }

    /// Publishes the task to the default exchange, which routes it to the queue of this name. If it `listens`, returns the messages to this task's sender.
    pub(crate) async fn send(
        &self,
        steps: &Steps,
        queue: &str,
        task: &Task,
        lifetime: Duration,
        listens: bool,
    ) -> Result<Option<Deliveries>, Failure> {
        let send = |connection: Arc<Connection>| async move {
            let id = task.id().to_owned();
            let is_result =
                move |message: &amqp::Message| message.correlation_id() == Some(id.as_str());
            let deliveries = listens.then(|| connection.listen(is_result));
            let publication = Publication {
                routing_key: queue.to_owned(),
                headers: task.headers(),
                body: self.serializer.encode(&Task::content()),
                content: Some(self.content()),
                correlation_id: task.id().to_owned(),
                reply_to: connection.reply_queue().to_owned(),
                expires: Some(lifetime),
                ..Publication::default()
            };
            if steps.run("canary", connection.publish(&publication)).await? {
                return Ok(deliveries);
            }
            Err(Failure::msg("canary", format!("{queue} does not exist")))
        };
        self.amqp.run_once(steps, send).await
    }

    /// Publishes the request, if there is one, and reads the backlogs of the queues while the workers reply.
    async fn publish(
        &self,
        connection: Arc<Connection>,
        steps: &Steps,
        request: Option<&InspectRequest>,
        queues: &[String],
    ) -> Result<Accepted, Failure> {
        let exchanges = &self.exchanges;
        let ticket = request.map(|request| request.ticket().to_owned());
        let deliveries = connection.listen(move |message| {
            ticket.is_some() && message.header("ticket") == ticket.as_deref()
        });
        let publication = request.map(|request| Publication {
            headers: InspectRequest::headers(),
            body: self
                .serializer
                .encode(&request.content(&exchanges.replies, connection.reply_queue())),
            content: Some(self.content()),
            expires: Some(REQUEST_EXPIRES),
            ..to_all_workers(exchanges)
        });
        let publish = async {
            let routed = match &publication {
                Some(publication) => steps.run("ask", connection.publish(publication)).await?,
                None => true,
            };
            steps.begin("queues");
            Ok(routed)
        };
        let names: Vec<_> = queues.iter().map(String::as_str).collect();
        let read_states = async {
            connection.queue_states(&names).await.map_err(|cause| Failure::new("queues", cause))
        };
        // The request is polled first, since the workers take longest.
        let (routed, states) = tokio::try_join!(biased; publish, read_states)?;
        let backlogs = states.into_iter().map(|state| match state {
            QueueState::Known(depth) => Backlog::Known(depth),
            QueueState::Missing => Backlog::Missing,
            QueueState::Unavailable(reason) => Backlog::Unavailable(reason),
        });
        let backlogs = queues.iter().cloned().zip(backlogs).collect();
        // The broker reports whether the request was routed to a queue at all, but not to how many.
        let other_server = connection.other_server().map(str::to_owned);
        Ok(Accepted { deliveries, recipients: (!routed).then_some(0), backlogs, other_server })
    }

    /// The content type and the content encoding of messages to workers.
    fn content(&self) -> (&'static str, &'static str) {
        (self.serializer.content_type(), self.serializer.content_encoding())
    }
}

/// A publication to all workers, with the exchange for their replies.
fn to_all_workers(exchanges: &ControlExchanges) -> Publication {
    let ControlExchanges { requests, replies } = exchanges.clone();
    let (exchange, reply_exchange) = (requests, Some(replies));
    Publication { exchange, reply_exchange, ..Publication::default() }
}

/// Publishes every reply until the connection is lost.
async fn receive(
    mut deliveries: Deliveries,
    exchanges: &ControlExchanges,
    findings: &FindingsSender,
) {
    while let Some(delivery) = deliveries.next().await {
        deliveries.mark_bound(&exchanges.replies);
        findings.replied(InspectReply::parse(delivery.content_type(), delivery.body()));
    }
}
