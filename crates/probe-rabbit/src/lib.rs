//! Checks that `RabbitMQ` accepts and delivers a message, and that its queues are within bounds.
//!
//! ```toml
//! [rabbit]
//! url = "amqps://health:${env:RABBIT_PASSWORD}@rabbit:5671/app"
//! queue_prefix = "app."   # for a user that may only use the application's names
//! max_messages = 1000     # the bounds for all queues below
//! min_consumers = 1
//! management = "https://monitor:${env:MONITOR_PASSWORD}@rabbit:15671"   # the management plugin
//! max_unacked = 100
//! # ca, certificate, private_key: PEM
//!
//! [rabbit.queues]
//! orders = {}
//! emails = { max_messages = 20000 }
//! "emails.dead" = { exempt = true }   # a queue without consumers by design: it must only exist
//! ```
//!
//! The message is sent to the reply queue of the connection, `<queue_prefix>health-gateway.<random>`, which is exclusive and deleted with the connection.
//! A memory or disk alarm blocks only publishers, so a check without a message would not detect it.
//! The user needs configure and read on `<queue_prefix>health-gateway\..*`, and write on `amq\.default`.
//! A query of a queue's depth needs only access to the virtual host, and the management plugin the tag `monitoring`.

mod management;
mod queues;

use std::sync::Arc;

use amqp::{Amqp, BrokerUrls, Connection, Publication};
use net::TlsSettings;
use probe::config::Fields;
use probe::{Cause, Check, DynChecks, Failure, Grant, Kind, Reconnect, Section, Steps};

use crate::management::{Management, QueueInfo};
use crate::queues::Queue;

/// The kind of section for one `RabbitMQ`.
pub const KIND: Kind = Kind { name: "rabbit", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let urls: Option<BrokerUrls> = fields.required("url");
    let tls = TlsSettings::read(&mut fields);
    let broker = broker(section, &mut fields, urls.as_ref(), tls.as_ref());
    let virtual_host = broker.as_ref().map(Amqp::virtual_host);
    let url = urls.as_ref().map(BrokerUrls::first);
    let management = Management::read(&mut fields, url, virtual_host, tls.as_ref());
    if let (Some(urls), Some(tls)) = (&urls, &tls) {
        // A URL that is wrong or not known yet may use TLS.
        let has_management = fields.has("management");
        let of_management = management.as_ref().map_or(has_management, Management::is_encrypted);
        let is_encrypted = urls.is_encrypted() || of_management;
        tls.expect_use(&mut fields, is_encrypted, "a `url` that begins with `amqps`");
    }
    let queues = queues::read(&mut fields);
    fields.single(|| Some(RabbitCheck { broker: broker?, management, queues }))
}

fn broker(
    section: &Section<'_>,
    fields: &mut Fields<'_>,
    urls: Option<&BrokerUrls>,
    tls: Option<&TlsSettings>,
) -> Option<Amqp> {
    let queue_prefix = fields.with_default("queue_prefix", String::new());
    let reconnect = Reconnect::read(fields);
    let (urls, tls) = (urls?, tls?);
    Amqp::read(section.shared(), fields, "url", urls, tls, queue_prefix, reconnect?)
}

struct RabbitCheck {
    broker: Amqp,
    management: Option<Management>,
    queues: Vec<Queue>,
}

impl RabbitCheck {
    /// What the management plugin knows about each queue. A queue that cannot work is a failure at once: a query of its depth over AMQP may get no answer.
    async fn infos(&self, steps: &Steps) -> Result<Vec<Option<QueueInfo>>, Failure> {
        let Some(management) = &self.management else { return Ok(Vec::new()) };
        let mut infos = Vec::with_capacity(self.queues.len());
        for queue in &self.queues {
            infos.push(management.queue(steps, queue.name()).await?);
        }
        queues::verify_states(&self.queues, &infos)?;
        Ok(infos)
    }
}

impl Check for RabbitCheck {
    fn target(&self) -> &str {
        self.broker.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let work = |connection: Arc<Connection>| async move {
            round_trip(&connection, steps).await?;
            if self.queues.is_empty() {
                return Ok(());
            }
            let infos = Box::pin(self.infos(steps)).await?;
            let names: Vec<_> = self.queues.iter().map(Queue::name).collect();
            let states = steps.run("queues", connection.queue_states(&names)).await?;
            queues::observe(steps, &self.queues, &states, &infos);
            queues::verify(&self.queues, &states, &infos)
        };
        self.broker.run(steps, work).await
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        let mut grants = self.broker.grants(&[&Publication::default()]);
        if let Some(management) = &self.management {
            grants.extend(self.broker.monitoring_grants(management.username()));
        }
        Ok(grants)
    }
}

/// Publishes a message to the reply queue and waits for its delivery.
async fn round_trip(connection: &Arc<Connection>, steps: &Steps) -> Result<(), Failure> {
    let id = format!("{:032x}", rand::random::<u128>());
    let publication = Publication {
        routing_key: connection.reply_queue().to_owned(),
        correlation_id: id.clone(),
        body: b"\"health-gateway\"".to_vec(),
        ..Publication::default()
    };
    let mut deliveries = connection.listen(move |message| message.correlation_id() == Some(&id));
    if !steps.run("publish", connection.publish(&publication)).await? {
        return Err(Failure::msg("publish", "the broker routed the message to no queue"));
    }
    let delivery = async {
        let lost = || Cause::msg("connection closed").connection_lost();
        deliveries.next().await.ok_or_else(lost)
    };
    steps.run("consume", delivery).await.map(drop)
}
