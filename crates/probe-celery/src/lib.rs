//! Asks Celery's workers whether they answer, and whether its queues are worked on.
//!
//! ```toml
//! [celery]
//! broker = "amqp://health:${env:BROKER_PASSWORD}@rabbit:5672/app"   # or redis://
//! workers = 2                 # or the names of nodes: ["w1@host", "w2@host"]
//! max_messages = 1000         # for all of the queues below
//! canary = true               # so is this: a task goes through each queue and comes back
//! result_backend = "rpc://"   # or redis://, as the application has it
//!
//! [celery.queues]
//! high_priority = {}
//! reports = { max_messages = 20000, canary = false }
//! ```
//!
//! The checks are `ping` and `queues.<name>`. All of them share one remote-control question, whatever their number, and each is answered as soon as what it needs is known.
//! A worker that was stopped still counts as a consumer on its broker, so a queue is worked on only if a worker that answers says that it takes from it.

mod amqp_broker;
mod broker;
mod canary;
mod findings;
mod inquiry;
mod kombu;
mod ping;
mod question;
mod queue;
mod redis_broker;
mod reply_path;
mod results;
mod session;
mod settings;
mod task;

use std::collections::HashMap;
use std::sync::Arc;

use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};

use crate::inquiry::Inquiries;
use crate::ping::Ping;
use crate::queue::Queue;
use crate::settings::Settings;

/// The kind of sections that hold one Celery application.
pub const KIND: Kind = Kind { name: "celery", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let settings = Settings::read(section.shared(), &mut fields);
    let inquiries = settings.broker.clone().map(|broker| {
        let queues = settings.queues.iter().map(|queue| queue.name.clone()).collect();
        Arc::new(Inquiries::new(broker, queues))
    });
    let names = settings.names(&mut fields);
    let queues: HashMap<_, _> =
        settings.queues.iter().map(|queue| (queue.check_name(), queue)).collect();
    fields.group(names, |name| {
        let inquiries = inquiries.clone()?;
        Some(match queues.get(name.as_str()) {
            None => CeleryCheck::Ping(Ping::new(inquiries, settings.workers.clone())),
            Some(queue) => {
                let canary = if queue.canary { Some(settings.canary_of(queue)?) } else { None };
                CeleryCheck::Queue(Queue::new(inquiries, queue, canary))
            }
        })
    })
}

/// The name of the check that asks the workers.
const PING: &str = "ping";

enum CeleryCheck {
    Ping(Ping),
    Queue(Queue),
}

impl Check for CeleryCheck {
    fn target(&self) -> &str {
        match self {
            Self::Ping(ping) => ping.target(),
            Self::Queue(queue) => queue.target(),
        }
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        match self {
            Self::Ping(ping) => ping.check(steps).await,
            Self::Queue(queue) => queue.check(steps).await,
        }
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(match self {
            Self::Ping(ping) => ping.grants(),
            Self::Queue(queue) => queue.grants(),
        })
    }
}
