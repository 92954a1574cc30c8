//! The handle of an open connection: publishes messages and queries queues.

use std::collections::BTreeSet;
use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, queue};
use amq_protocol::types::FieldTable;
use parking_lot::{Mutex, MutexGuard};
use probe::{Cause, Connect, Connecting, Failure, LastReceived, Steps};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::channel::{Channel, MAX_PIPELINED};
use crate::channel_ids::ChannelIds;
use crate::command::{Command, ConnectionState};
use crate::connect_params::{ConnectParams, Server};
use crate::error::{ChannelError, NOT_FOUND, resource_alarm, unexpected};
use crate::handshake::{self, OpenConnection};
use crate::io_loop::IoLoop;
use crate::message::short_string;
use crate::reply_queue::{self, Dispatcher};
use crate::{Publication, publish};

/// What the text of `not-found` contains if the queue does not exist.
const NO_QUEUE: &str = "no queue '";

/// Opens connections to one broker.
pub(crate) struct Connector(pub(crate) ConnectParams);

impl Connect for Connector {
    type Connection = Connection;

    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, Connection> {
        Box::pin(async move {
            let ConnectParams { servers, queue_prefix } = &self.0;
            let refused: Mutex<Option<Failure>> = Mutex::default();
            let open = |server, steps: Arc<Steps>| {
                let refused = &refused;
                async move {
                    let opened = handshake::open(server, &steps).await;
                    if let Err(failure) = &opened
                        && failure.cause().is_login_refused()
                    {
                        refused.lock().get_or_insert_with(|| self.name(server, failure.clone()));
                    }
                    let opened = opened.map_err(|failure| self.name(server, failure))?;
                    Ok((server, opened))
                }
            };
            let opened = match &servers[..] {
                [server] => Ok((server, handshake::open(server, steps).await?)),
                servers => net::first_answer(servers, steps, open).await,
            };
            // A login is not repeated after a refusal, whatever other servers say.
            if let Some(failure) = refused.into_inner() {
                return Err(failure);
            }
            let (server, opened) = opened?;
            let other_server = (!self.is_first(server)).then(|| server.to_string());
            let started = steps.run("reply queue", Connection::start(opened, queue_prefix)).await;
            started
                .map(|connection| Connection { other_server, ..connection })
                .map_err(|failure| self.name(server, failure))
        })
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.state.borrow().ended.is_some() || connection.reply_channel.is_closed()
    }

    fn has_received_since(connection: &Connection, since: Instant) -> bool {
        connection.last_received.is_after(since)
    }

    fn request_release(connection: &Connection) {
        connection.release.send_replace(true);
    }
}

impl Connector {
    fn is_first(&self, server: &Server) -> bool {
        std::ptr::eq(server, self.0.first())
    }

    /// Names the server in a failure, unless the target of the check already does.
    fn name(&self, server: &Server, failure: Failure) -> Failure {
        if self.is_first(server) { failure } else { failure.in_context(server) }
    }
}

/// The numbers of messages and consumers of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that are ready for delivery.
    pub messages: u64,
    /// Consumers, including those that have stopped responding.
    pub consumers: u64,
}

/// What the broker reports about a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueState {
    /// The queue exists.
    Known(Depth),
    /// The queue does not exist.
    Missing,
    /// The broker cannot serve the queue, for instance because its node is down. The text is the broker's.
    Unavailable(String),
}

/// An open connection. When it is dropped, its I/O loop closes the socket and ends.
pub struct Connection {
    /// The `host:port` of the server, unless it is the first one of the broker.
    other_server: Option<String>,
    reply_queue: String,
    reply_channel: Channel,
    /// The exchanges that delivered a reply since the last request. They are still bound to the reply queue.
    bound_exchanges: Mutex<BTreeSet<String>>,
    channel_ids: ChannelIds,
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<ConnectionState>,
    dispatcher: Dispatcher,
    last_received: LastReceived,
    /// Whether another connection is needed.
    release: watch::Sender<bool>,
}

impl Connection {
    async fn start(opened: OpenConnection, queue_prefix: &str) -> Result<Self, Cause> {
        let (commands, received) = mpsc::unbounded_channel();
        let (sender, state) = watch::channel(ConnectionState::default());
        let (dispatcher, channel_ids) = (Dispatcher::default(), opened.channel_ids.clone());
        let last_received = LastReceived::new();
        let io = IoLoop::new(opened, received, sender, dispatcher.clone(), last_received.clone());
        tokio::spawn(io.run());
        let mut reply_channel = Channel::open(&channel_ids, &commands, &state)?;
        let reply_queue = format!("{queue_prefix}health-gateway.{:032x}", rand::random::<u128>());
        reply_queue::open(&mut reply_channel, &reply_queue).await?;
        Ok(Self {
            other_server: None,
            reply_queue,
            reply_channel,
            bound_exchanges: Mutex::default(),
            channel_ids,
            commands,
            state,
            dispatcher,
            last_received,
            release: watch::Sender::default(),
        })
    }

    /// The `host:port` of the server, unless it is the first one of the broker.
    pub fn other_server(&self) -> Option<&str> {
        self.other_server.as_deref()
    }

    /// The name of the reply queue, which the broker deletes when the connection ends.
    pub fn reply_queue(&self) -> &str {
        &self.reply_queue
    }

    pub(crate) fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    pub(crate) fn release(&self) -> watch::Receiver<bool> {
        self.release.subscribe()
    }

    pub(crate) fn bound_exchanges(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.bound_exchanges.lock()
    }

    /// Publishes a message, waits for the confirm, and returns whether the message was routed to a queue.
    ///
    /// A message to an exchange that does not exist is not routed.
    pub async fn publish(&self, publication: &Publication) -> Result<bool, Cause> {
        // The broker stops reading from a connection that it blocks.
        tokio::select! {
            biased;
            reason = self.blocked() => Err(resource_alarm(&reason)),
            routed = self.publish_on_a_channel(publication) => routed,
        }
    }

    /// Returns the state of each queue.
    pub async fn queue_states(&self, names: &[&str]) -> Result<Vec<QueueState>, Cause> {
        let mut states = Vec::with_capacity(names.len());
        while states.len() < names.len() {
            let mut channel = self.open_channel()?;
            let remaining = &names[states.len()..];
            let remaining = &remaining[..remaining.len().min(MAX_PIPELINED)];
            let methods: Result<Vec<_>, _> =
                remaining.iter().map(|name| passive_declare(name)).collect();
            channel.send(methods?);
            for _ in remaining {
                let state = read_state(channel.next().await)?;
                let is_known = matches!(state, QueueState::Known(_));
                states.push(state);
                // `not-found` closes the channel, so the methods after it are not answered.
                if !is_known {
                    break;
                }
            }
        }
        Ok(states)
    }

    /// Waits until the broker blocks publishers, and returns the reason it gives.
    async fn blocked(&self) -> String {
        let mut state = self.state.clone();
        let blocked = state.wait_for(|state| state.blocked.is_some()).await;
        match blocked.map(|state| state.blocked.clone().unwrap_or_default()) {
            Ok(reason) => reason,
            // The connection has ended. The channel reports why.
            Err(_) => std::future::pending().await,
        }
    }

    async fn publish_on_a_channel(&self, publication: &Publication) -> Result<bool, Cause> {
        let mut channel = self.open_channel()?;
        // Only a reply proves the binding. After a request without a reply, the exchange is bound again.
        let unbound = publication.reply_exchange.as_deref();
        let unbound = unbound.filter(|exchange| !self.bound_exchanges().remove(*exchange));
        let binding = unbound
            .map(|exchange| publish::declare_and_bind(exchange, &self.reply_queue))
            .transpose()?;
        match publish::publish(&mut channel, publication, binding.into_iter().flatten()).await {
            Ok(routed) => Ok(routed),
            Err(ChannelError::Closed(reason)) if reason.code == NOT_FOUND => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a channel for one operation. `RabbitMQ` caches permissions in each channel, so a reused one would not notice a permission that was revoked.
    fn open_channel(&self) -> Result<Channel, ChannelError> {
        Channel::open(&self.channel_ids, &self.commands, &self.state)
    }
}

/// The declaration of a queue that must exist. The broker answers it with the depth.
fn passive_declare(name: &str) -> Result<AMQPClass, Cause> {
    let declare = queue::Declare {
        queue: short_string(name)?,
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        nowait: false,
        arguments: FieldTable::default(),
    };
    Ok(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))
}

/// The state in the answer to a passive declaration.
fn read_state(answer: Result<AMQPClass, ChannelError>) -> Result<QueueState, Cause> {
    match answer {
        Ok(AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok))) => {
            let (messages, consumers) = (ok.message_count.into(), ok.consumer_count.into());
            Ok(QueueState::Known(Depth { messages, consumers }))
        }
        Ok(_) => Err(unexpected("an answer")),
        // A durable queue on a node that is down is not found either.
        Err(ChannelError::Closed(reason)) if reason.code == NOT_FOUND => {
            if reason.text.contains(NO_QUEUE) {
                return Ok(QueueState::Missing);
            }
            Ok(QueueState::Unavailable(Cause::from(reason).text().to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CloseReason;

    fn not_found(text: &str) -> QueueState {
        let reason = CloseReason { code: NOT_FOUND, text: text.to_owned() };
        read_state(Err(ChannelError::Closed(reason))).expect("a state")
    }

    #[test]
    fn a_queue_on_a_node_that_is_down_exists() {
        let missing = "NOT_FOUND - no queue 'orders' in vhost 'app'";
        assert_eq!(not_found(missing), QueueState::Missing);
        let down = "NOT_FOUND - home node 'rabbit@b' of durable queue 'orders' in vhost 'app' is down or inaccessible";
        assert_eq!(not_found(down), QueueState::Unavailable(down.to_owned()));
    }
}
