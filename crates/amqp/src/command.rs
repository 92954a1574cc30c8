//! The commands to the I/O loop of a connection, and the state that it publishes.

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::AMQPClass;
use probe::Cause;
use tokio::sync::mpsc;

/// A command to the I/O loop.
pub(crate) enum Command {
    /// Sends the frames that open a channel, and forwards the methods on it to `events`.
    OpenChannel { channel: u16, events: mpsc::Sender<AMQPClass>, frames: Vec<AMQPFrame> },
    /// Sends frames of an open channel.
    Send(Vec<AMQPFrame>),
    /// Closes a channel. Its id is released when the broker has confirmed the close.
    CloseChannel(u16),
}

/// The state of the connection, published by the I/O loop.
#[derive(Clone, Default)]
pub(crate) struct ConnectionState {
    /// The reason in `connection.blocked`, while the broker blocks publishers.
    pub(crate) blocked: Option<String>,
    /// Why the connection ended, if it has.
    pub(crate) ended: Option<Cause>,
}
