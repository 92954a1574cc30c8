//! One kept AMQP 0-9-1 connection to a broker, shared by every check that uses it.
//!
//! The socket belongs to a task of its own; a check holds a handle, asks through it and may be dropped at any moment.
//! Whoever asks has a channel to himself meanwhile, so that an error that closes a channel is nobody else's.
//! Every connection has one queue of its own, its mailbox, for whatever is to come back to it.
//!
//! The protocol: <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, with `RabbitMQ`'s extensions <https://www.rabbitmq.com/docs/extensions> for confirms and for connections that are blocked.

mod broker;
mod channel;
mod connection;
mod content;
mod frames;
mod grants;
mod handshake;
mod mailbox;
mod message;
mod place;
mod publish;
mod task;
mod words;

pub use broker::Amqp;
pub use connection::{Connection, Depth};
pub use mailbox::Letters;
pub use message::{Message, Publication};
pub use place::{SCHEMES, is_encrypted};
