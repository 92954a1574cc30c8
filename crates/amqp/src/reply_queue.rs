//! Declares the reply queue of a connection, and dispatches its messages.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic, queue};
use amq_protocol::types::FieldTable;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::Message;
use crate::channel::Channel;
use crate::error::ChannelError;
use crate::message::short_string;

/// Sends each message to the receivers with a matching filter. It is shared by the handle of the connection and its I/O loop.
#[derive(Clone, Default)]
pub(crate) struct Dispatcher(Arc<Mutex<Vec<Route>>>);

struct Route {
    filter: Box<dyn Fn(&Message) -> bool + Send>,
    messages: mpsc::UnboundedSender<Message>,
}

impl Dispatcher {
    pub(crate) fn add(
        &self,
        filter: impl Fn(&Message) -> bool + Send + 'static,
    ) -> mpsc::UnboundedReceiver<Message> {
        let (messages, receiver) = mpsc::unbounded_channel();
        let mut routes = self.0.lock();
        routes.retain(|route| !route.messages.is_closed());
        routes.push(Route { filter: Box::new(filter), messages });
        receiver
    }

    /// Sends a message to its receivers. A late reply has no receiver and is dropped.
    pub(crate) fn dispatch(&self, message: &Message) {
        self.0.lock().retain(|route| {
            !(route.filter)(message) || route.messages.send(message.clone()).is_ok()
        });
    }

    /// Closes all receivers.
    pub(crate) fn close(&self) {
        self.0.lock().clear();
    }
}

/// Declares the reply queue as an exclusive queue, and starts a consumer.
pub(crate) async fn open(channel: &mut Channel, name: &str) -> Result<(), ChannelError> {
    let declare = queue::Declare {
        queue: short_string(name)?,
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: true,
        nowait: false,
        arguments: FieldTable::default(),
    };
    let consume = basic::Consume {
        queue: declare.queue.clone(),
        consumer_tag: short_string("")?,
        no_local: false,
        no_ack: true,
        exclusive: true,
        nowait: false,
        arguments: FieldTable::default(),
    };
    channel.send([
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)),
        AMQPClass::Basic(basic::AMQPMethod::Consume(consume)),
    ]);
    channel
        .expect(|method| {
            matches!(method, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))).then_some(())
        })
        .await?;
    channel
        .expect(|method| {
            matches!(method, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_))).then_some(())
        })
        .await
}
