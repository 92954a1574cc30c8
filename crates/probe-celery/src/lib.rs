//! Checks that Celery's workers reply and that its queues are consumed.
//!
//! ```toml
//! [celery]
//! broker = "amqp://health:${env:BROKER_PASSWORD}@rabbit:5672/app"   # or redis://
//! workers = 2                 # or the names of nodes: ["w1@host", "w2@host"]
//! max_messages = 1000         # for all of the queues below
//! canary = true               # likewise; sends a task through each queue and waits for its result
//! result_backend = "rpc://"   # or redis://, as the application has it
//!
//! [celery.queues]
//! high_priority = {}
//! reports = { max_messages = 20000, canary = false }
//! ```
//!
//! The checks are `ping` and `queues.<name>`. All of them share one remote-control broadcast, and each ends as soon as the replies decide it.
//! To the broker, a stopped worker is still a consumer; so a queue counts as consumed only if a worker that replies lists it among its queues.

mod amqp_broker;
mod broadcast;
mod broker;
mod canary;
mod content;
mod findings;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod inspect;
mod kombu;
mod ping;
mod progress;
mod queue;
mod redis_broker;
mod reply_queue;
mod result_backend;
mod settings;
mod task;
mod transport;

use std::collections::HashMap;
use std::sync::Arc;

use probe::{Check, DynChecks, Failure, Grant, Kind, Section, Steps};

use crate::broadcast::Broadcasts;
use crate::ping::PingCheck;
use crate::queue::QueueCheck;
use crate::settings::Settings;

/// A section that is one Celery application.
pub const KIND: Kind = Kind { name: "celery", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let settings = Settings::read(section.shared(), &mut fields);
    let broadcasts = settings.broker.clone().map(|broker| {
        let queues = settings.queues.iter().map(|queue| queue.name.clone()).collect();
        Arc::new(Broadcasts::new(broker, queues, section.shared().cleanups().clone()))
    });
    let names = settings.names(&mut fields);
    let queues: HashMap<_, _> =
        settings.queues.iter().map(|queue| (queue.check_name(), queue)).collect();
    fields.group(names, |name| {
        let broadcasts = broadcasts.clone()?;
        Some(match queues.get(name.as_str()) {
            None => CeleryCheck::Ping(PingCheck::new(broadcasts, settings.workers.clone())),
            Some(queue) => {
                let canary = if queue.canary { Some(settings.canary_of(queue)?) } else { None };
                CeleryCheck::Queue(QueueCheck::new(broadcasts, queue, canary))
            }
        })
    })
}

/// The name of the check of the workers, and its step.
const PING: &str = "ping";

enum CeleryCheck {
    Ping(PingCheck),
    Queue(QueueCheck),
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

    fn leaves_traces(&self) -> bool {
        matches!(self, Self::Queue(queue) if queue.has_canary())
    }

    fn grants(&self) -> Result<Vec<Grant>, Failure> {
        Ok(match self {
            Self::Ping(ping) => ping.grants(),
            Self::Queue(queue) => queue.grants(),
        })
    }
}
