//! An HTTP/1.1 client of one server on one cached connection.
//!
//! Responses are bounded; there are no redirects, no proxies, and nothing is read from the environment.
//! Every status is a response, for the caller to interpret: only a missing response is a failure here.

mod client;
mod connection;

pub use client::{Client, MAX_BODY, Repeatable};
