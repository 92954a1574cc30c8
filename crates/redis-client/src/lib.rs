//! One kept connection to one Redis deployment, shared by every check that uses it: the only crate that knows the client library.
//!
//! A deployment is a single server, a cluster or what Sentinel names, with its credentials and TLS settings.
//! Checks of different database numbers share its connection: what a check sends goes out as one contiguous pipeline that selects its database first,
//! and what several checks send at the same time goes out in one write.
//! What to ask, and what an answer means, is the probes'.

mod canary;
mod client;
mod command;
mod connection;
mod credentials;
mod deployment;
mod diagnosis;
mod grants;
mod handshake;
mod outbox;
mod place;
mod redis;
mod words;

pub use canary::Canary;
pub use command::{Answer, Command};
pub use grants::literal;
pub use place::is_encrypted;
pub use redis::Redis;
