//! An AMQP 0-9-1 client on one cached connection, shared by all checks of a broker.
//!
//! A task, the I/O loop, owns the socket. A check uses a handle and may be dropped at any `.await`.
//! Each operation has its own channel, so an error that closes the channel does not affect other operations.
//! Each connection has one exclusive queue for the messages sent to it, its reply queue.
//!
//! The protocol: <https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf>, with the extensions of `RabbitMQ` for confirms and blocked connections: <https://www.rabbitmq.com/docs/extensions>.

mod assembler;
mod broker;
mod channel;
mod channel_ids;
mod command;
mod connect_params;
mod connection;
mod deliveries;
mod error;
mod field_tables;
mod frames;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod handshake;
mod io_loop;
mod message;
mod parameters;
mod publish;
mod reply_queue;

pub use broker::Amqp;
pub use connect_params::BrokerUrls;
pub use connection::{Connection, Depth, QueueState};
pub use deliveries::Deliveries;
pub use message::{Message, Publication};
