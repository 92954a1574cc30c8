//! The handle of an open connection: what can be asked through it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use amq_protocol::protocol::{AMQPClass, queue};
use amq_protocol::types::FieldTable;
use probe::{Cause, Connect, Failure, Steps};
use tokio::sync::{mpsc, watch};

use crate::channel::{Channel, Numbers};
use crate::mailbox::{self, Listeners};
use crate::message::short;
use crate::place::Place;
use crate::task::{Order, State, Task};
use crate::words::{Broken, NOT_FOUND, alarm, unexpected};
use crate::{Letters, Message, Publication, handshake, publish};

/// More channels than that are not kept for the next conversations.
const IDLE_CHANNELS: usize = 4;

/// Opens connections to one broker.
pub(crate) struct Connector(pub(crate) Place);

impl Connect for Connector {
    type Connection = Connection;

    async fn connect(&self, steps: &Steps) -> Result<Connection, Failure> {
        let opened = handshake::open(&self.0, steps).await?;
        steps.run("mailbox", Connection::start(opened, &self.0.queue_prefix)).await
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.state.borrow().ended.is_some() || connection.mailbox_channel.is_over()
    }
}

/// How full a queue is, and how many take from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that are ready to be taken.
    pub messages: u64,
    /// Consumers, whether they are alive or not.
    pub consumers: u64,
}

/// An open connection. Its task ends, and closes the socket, when this is dropped.
pub struct Connection {
    mailbox: String,
    mailbox_channel: Channel,
    idle: Mutex<Vec<Channel>>,
    /// The exchanges through which an answer came since the last question: they still lead to the mailbox.
    paths: Mutex<BTreeSet<&'static str>>,
    numbers: Numbers,
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<State>,
    listeners: Listeners,
}

impl Connection {
    async fn start(opened: handshake::Opened, queue_prefix: &str) -> Result<Self, Cause> {
        let (orders, received) = mpsc::unbounded_channel();
        let (sender, state) = watch::channel(State::default());
        let (listeners, numbers) = (Listeners::default(), Numbers::default());
        let task = Task::new(opened, received, sender, listeners.clone(), numbers.clone());
        tokio::spawn(task.run());
        let mut mailbox_channel = Channel::open(&numbers, &orders, &state).await?;
        let mailbox = format!("{queue_prefix}health-gateway.{:032x}", rand::random::<u128>());
        mailbox::open(&mut mailbox_channel, &mailbox).await?;
        let (idle, paths) = (Mutex::default(), Mutex::default());
        Ok(Self { mailbox, mailbox_channel, idle, paths, numbers, orders, state, listeners })
    }

    /// The queue of this connection, which is gone with it.
    pub fn mailbox(&self) -> &str {
        &self.mailbox
    }

    /// Listens for messages in the mailbox.
    pub fn listen(self: &Arc<Self>, wants: impl Fn(&Message) -> bool + Send + 'static) -> Letters {
        Letters { letters: self.listeners.add(wants), connection: self.clone() }
    }

    /// Publishes and waits until the broker has confirmed it; the answer is whether any queue got it, for which its exchange must exist.
    pub async fn publish(&self, publication: &Publication) -> Result<bool, Cause> {
        let mut state = self.state.clone();
        let blocked = async {
            let blocked = state.wait_for(|state| state.blocked.is_some()).await;
            match blocked.map(|state| state.blocked.clone().unwrap_or_default()) {
                Ok(reason) => alarm(&reason),
                // The connection is over, which the channel tells.
                Err(_) => std::future::pending().await,
            }
        };
        // The broker reads nothing at all from a connection that it blocks.
        tokio::select! {
            biased;
            cause = blocked => Err(cause),
            routed = self.publish_on_a_channel(publication) => routed,
        }
    }

    /// How full each of these queues is; `None` for one that does not exist.
    pub async fn depths(&self, names: &[&str]) -> Result<Vec<Option<Depth>>, Cause> {
        let mut depths = Vec::with_capacity(names.len());
        while depths.len() < names.len() {
            let mut channel = self.channel().await?;
            let left = &names[depths.len()..];
            let questions: Result<Vec<_>, _> = left.iter().map(|name| passive(name)).collect();
            channel.send(questions?);
            for _ in left {
                match channel.next().await {
                    Ok(AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) => {
                        let (messages, consumers) = (ok.message_count, ok.consumer_count);
                        depths.push(Some(Depth {
                            messages: messages.into(),
                            consumers: consumers.into(),
                        }));
                    }
                    Ok(_) => return Err(unexpected("an answer")),
                    // It also closes the channel, and with it what was asked after it.
                    Err(Broken::Refused(refusal)) if refusal.code == NOT_FOUND => {
                        depths.push(None);
                        break;
                    }
                    Err(broken) => return Err(broken.into()),
                }
            }
            self.put_back(channel);
        }
        Ok(depths)
    }

    async fn publish_on_a_channel(&self, publication: &Publication) -> Result<bool, Cause> {
        let mut channel = self.channel().await?;
        // Only an answer shows that the way it came is still there; after a question in vain it is made again.
        let unproven =
            publication.answers_through.filter(|exchange| !self.paths().remove(exchange));
        let path =
            unproven.map(|exchange| publish::path_to(&self.mailbox, exchange)).transpose()?;
        match publish::publish(&mut channel, publication, path.into_iter().flatten()).await {
            Ok(routed) => {
                self.put_back(channel);
                Ok(routed)
            }
            Err(Broken::Refused(refusal)) if refusal.code == NOT_FOUND => Ok(false),
            Err(broken) => Err(broken.into()),
        }
    }

    pub(crate) fn paths(&self) -> MutexGuard<'_, BTreeSet<&'static str>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn channel(&self) -> Result<Channel, Broken> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle.filter(|channel| !channel.is_over()) {
            Some(channel) => Ok(channel),
            None => Channel::open(&self.numbers, &self.orders, &self.state).await,
        }
    }

    /// Keeps a channel whose conversation came to its end.
    fn put_back(&self, channel: Channel) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if !channel.is_over() && idle.len() < IDLE_CHANNELS {
            idle.push(channel);
        }
    }
}

fn passive(name: &str) -> Result<AMQPClass, Cause> {
    let declare = queue::Declare {
        queue: short(name)?,
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    Ok(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
}
