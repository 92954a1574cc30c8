//! An HTTP/1.1 client for one server, with cached connections.
//!
//! Responses are bounded. There are no redirects or proxies, and nothing is read from the environment.
//! A response with any status is returned to the caller. Only a missing response is a failure.

mod client;
mod connection;
mod pool;
mod secret_header;
mod stream;

pub use client::{Client, MAX_BODY, Repeatable, Unhedged};
pub use secret_header::secret_header;

/// The cause of a failure when the server sends more than an answer may have.
const TOO_LARGE: &str = "the server's answer is too large";
