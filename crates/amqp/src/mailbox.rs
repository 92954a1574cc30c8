//! The queue that a connection has for itself, and who waits for which message in it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amq_protocol::protocol::{AMQPClass, basic, queue};
use amq_protocol::types::FieldTable;
use tokio::sync::mpsc;

use crate::channel::Channel;
use crate::message::short;
use crate::words::Broken;
use crate::{Connection, Message};

/// Those who listen; shared by the connection's handle and its task.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Arc<Mutex<Vec<Listener>>>);

struct Listener {
    wants: Box<dyn Fn(&Message) -> bool + Send>,
    letters: mpsc::UnboundedSender<Message>,
}

/// The messages that one listener wants. The connection stays open for them, even if nobody else uses it any more.
pub struct Letters {
    pub(crate) letters: mpsc::UnboundedReceiver<Message>,
    pub(crate) connection: Arc<Connection>,
}

impl Letters {
    /// The next message; `None` when the connection is over.
    pub async fn next(&mut self) -> Option<Message> {
        self.letters.recv().await
    }

    /// Tells that an answer came through `exchange`, whose way to the mailbox need not be made again for the next question.
    pub fn came_through(&self, exchange: &'static str) {
        self.connection.paths().insert(exchange);
    }
}

impl fmt::Debug for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letters").finish_non_exhaustive()
    }
}

impl Listeners {
    pub(crate) fn add(
        &self,
        wants: impl Fn(&Message) -> bool + Send + 'static,
    ) -> mpsc::UnboundedReceiver<Message> {
        let (letters, receiver) = mpsc::unbounded_channel();
        let mut all = self.all();
        // Who is gone is noticed when the next one comes.
        all.retain(|listener| !listener.letters.is_closed());
        all.push(Listener { wants: Box::new(wants), letters });
        receiver
    }

    /// Hands a message to all who want it; it may be nobody, when an answer comes too late.
    pub(crate) fn hand_out(&self, message: &Message) {
        self.all().retain(|listener| {
            !(listener.wants)(message) || listener.letters.send(message.clone()).is_ok()
        });
    }

    /// Nothing will come any more.
    pub(crate) fn end(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, Vec<Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Declares the mailbox, for this connection alone, and takes whatever comes to it.
pub(crate) async fn open(channel: &mut Channel, name: &str) -> Result<(), Broken> {
    let declare = queue::Declare {
        queue: short(name)?,
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: true,
        nowait: false,
        arguments: FieldTable::default(),
    };
    let consume = basic::Consume {
        queue: declare.queue.clone(),
        consumer_tag: short("")?,
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
        .expect("an answer", |method| {
            matches!(method, AMQPClass::Queue(queue::AMQPMethod::DeclareOk(_))).then_some(())
        })
        .await?;
    channel
        .expect("an answer", |method| {
            matches!(method, AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(_))).then_some(())
        })
        .await
}
