//! Declares the reply queue of a connection, and dispatches its messages.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic, queue};
use amq_protocol::types::FieldTable;
use parking_lot::Mutex;
use probe::Cause;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::Message;
use crate::channel::Channel;
use crate::error::{ChannelError, too_large};
use crate::message::short_string;

/// The size of the messages that wait for all receivers of a connection.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// Sends each message to the receivers with a matching filter. It is shared by the handle of the connection and its I/O loop.
#[derive(Clone)]
pub(crate) struct Dispatcher {
    /// Absent once the connection has ended.
    routes: Arc<Mutex<Option<Vec<Route>>>>,
    /// A permit for each byte that may still wait.
    room: Arc<Semaphore>,
}

struct Route {
    filter: Box<dyn Fn(&Message) -> bool + Send>,
    messages: mpsc::UnboundedSender<Waiting>,
}

/// A message that waits for its receiver, with the permits for its bytes, which are released when it is dropped.
pub(crate) type Waiting = (Message, OwnedSemaphorePermit);

impl Default for Dispatcher {
    fn default() -> Self {
        let routes = Arc::new(Mutex::new(Some(Vec::new())));
        Self { routes, room: Arc::new(Semaphore::new(MAX_WAITING)) }
    }
}

impl Dispatcher {
    pub(crate) fn add(
        &self,
        filter: impl Fn(&Message) -> bool + Send + 'static,
    ) -> mpsc::UnboundedReceiver<Waiting> {
        let (messages, receiver) = mpsc::unbounded_channel();
        if let Some(routes) = &mut *self.routes.lock() {
            routes.retain(|route| !route.messages.is_closed());
            routes.push(Route { filter: Box::new(filter), messages });
        }
        receiver
    }

    /// Sends a message to its receivers. A late reply has no receiver and is dropped.
    ///
    /// Fails if too many messages wait: the broker does not limit what it delivers, since nothing is acknowledged.
    pub(crate) fn dispatch(&self, message: &Message) -> Result<(), Cause> {
        let size = u32::try_from(message.size()).map_err(|_| too_large())?;
        let mut result = Ok(());
        let mut routes = self.routes.lock();
        let Some(routes) = &mut *routes else { return result };
        routes.retain(|route| {
            if !(route.filter)(message) {
                return true;
            }
            match self.room.clone().try_acquire_many_owned(size) {
                Ok(room) => route.messages.send((message.clone(), room)).is_ok(),
                // A receiver that was dropped takes nothing.
                Err(_) if route.messages.is_closed() => false,
                Err(_) => {
                    result = Err(too_large());
                    true
                }
            }
        });
        result
    }

    /// Whether receivers should run before more is read.
    pub(crate) fn is_crowded(&self) -> bool {
        self.room.available_permits() < MAX_WAITING / 2
    }

    /// Closes all receivers, and those that are added later.
    pub(crate) fn close(&self) {
        *self.routes.lock() = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receivers_are_closed_even_if_they_are_added_after_the_end() {
        let dispatcher = Dispatcher::default();
        let mut before = dispatcher.add(|_| true);
        dispatcher.close();
        let mut after = dispatcher.add(|_| true);
        assert!(
            [&mut before, &mut after].iter_mut().all(|it| it.try_recv().is_err() && it.is_closed())
        );
    }

    #[test]
    fn the_size_of_waiting_messages_is_bounded() {
        let dispatcher = Dispatcher::default();
        let message = Message { body: vec![0; MAX_WAITING / 8], ..Message::default() };
        let mut slow = dispatcher.add(|_| true);
        let sent = (0..100).take_while(|_| dispatcher.dispatch(&message).is_ok()).count();
        assert_eq!(sent, 7, "the properties take some room as well");
        assert!(slow.try_recv().is_ok());
        assert!(dispatcher.dispatch(&message).is_ok(), "what was received has made room");
        drop(slow);
        let _other = dispatcher.add(|_| true);
        assert!(dispatcher.dispatch(&message).is_ok(), "a dropped receiver has made room as well");
    }
}
