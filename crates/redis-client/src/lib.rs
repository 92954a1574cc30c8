//! A shared, cached connection to a Redis deployment, on top of the client library.
//!
//! A deployment is a single server, a cluster or the primary that Sentinel names, with its credentials and TLS settings.
//! Checks of different databases share its connection.
//! The commands of one check are sent as one contiguous pipeline that selects its database first, and the pipelines of concurrent checks are sent in one write.
//! The probes choose the commands and interpret the replies.

mod canary;
mod cluster;
mod command;
mod connect_params;
mod connection;
mod deployment;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod node_connection;
mod parameters;
mod redis;
mod role;
mod scanner;
mod script;
mod sentinel;
mod stream;
mod subscription;

pub use self::redis::Redis;
pub use canary::Canary;
pub use command::{Command, Reply};
pub use connect_params::{SentinelSettings, has_scheme, is_encrypted};
pub use grants::literal_pattern;
pub use parameters::PARAMETERS;
pub use script::Script;
pub use subscription::Subscription;
