//! One kept HTTP/1.1 connection to one server: bounded answers, no redirects, no proxies, nothing from the environment.
//!
//! What an answer means is the caller's: any status is an answer, and only a missing one is a failure here.

mod client;
mod connection;

pub use client::{Client, MAX_ANSWER, Repeatable};
