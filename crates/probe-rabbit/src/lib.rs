//! Asks `RabbitMQ` to take a message and give it back, and how full its queues are.
//!
//! ```toml
//! [rabbit]
//! url = "amqps://health:${env:RABBIT_PASSWORD}@rabbit:5671/app"
//! queue_prefix = "app."   # where the user may only touch names of the application
//! max_messages = 1000     # these two are for all of the queues below
//! min_consumers = 1
//! # ca, certificate, private_key: PEM
//!
//! [rabbit.queues]
//! orders = {}
//! emails = { max_messages = 20000 }
//! "emails.dead" = { exempt = true }   # nobody consumes it by design: it must exist, no more
//! ```
//!
//! The message goes to an exclusive queue of the gateway's own, `<queue_prefix>health-gateway.<random>`, which is gone with its connection.
//! Publishing is what a memory or disk alarm stops, while connections and everything else go on as if nothing were wrong.
//! For that the user needs to configure and read `<queue_prefix>health-gateway\..*`, and to write `amq\.default`; asking how full a queue is needs no more than access to the virtual host.

mod queues;

use std::sync::Arc;

use amqp::{Amqp, Connection, Publication};
use probe::config::Fields;
use probe::{Cause, Check, DynChecks, Failure, Grant, Kind, Section, Steps};

use crate::queues::Queue;

/// The kind of sections that hold one `RabbitMQ`.
pub const KIND: Kind = Kind { name: "rabbit", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let broker = broker(section, &mut fields);
    let queues = queues::read(&mut fields);
    fields.single(|| Some(RabbitCheck { broker: broker?, queues }))
}

fn broker(section: &Section<'_>, fields: &mut Fields<'_>) -> Option<Amqp> {
    let url = fields.url("url", amqp::SCHEMES);
    let settings = tls::Settings::read(fields);
    let queue_prefix = fields.with_default("queue_prefix", String::new());
    let (url, settings) = (url?, settings?);
    settings.expect_use(fields, amqp::is_encrypted(&url), "a `url` that begins with `amqps`")?;
    Amqp::read(section.shared(), fields, "url", &url, &settings, queue_prefix)
}

struct RabbitCheck {
    broker: Amqp,
    queues: Vec<Queue>,
}

impl Check for RabbitCheck {
    fn target(&self) -> &str {
        self.broker.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let ask = |connection: Arc<Connection>| async move {
            through_a_queue(&connection, steps).await?;
            if self.queues.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = self.queues.iter().map(Queue::name).collect();
            let depths = steps.run("queues", connection.depths(&names)).await?;
            queues::judge(&self.queues, &depths)
        };
        self.broker.run(steps, ask).await
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(self.broker.grants(&[&Publication::default()]))
    }
}

/// A message to our own queue, and back.
async fn through_a_queue(connection: &Arc<Connection>, steps: &Steps) -> Result<(), Failure> {
    let id = format!("{:032x}", rand::random::<u128>());
    let publication = Publication {
        routing_key: connection.mailbox().to_owned(),
        correlation_id: id.clone(),
        body: "\"health-gateway\"".to_owned(),
        ..Publication::default()
    };
    let mut letters = connection.listen(move |message| message.correlation_id() == Some(&id));
    if !steps.run("publish", connection.publish(&publication)).await? {
        return Err(Failure::msg("publish", "the broker leads it to no queue"));
    }
    let came_back = async {
        let lost = || Cause::msg("connection closed").connection_lost();
        letters.next().await.ok_or_else(lost)
    };
    steps.run("consume", came_back).await.map(drop)
}
