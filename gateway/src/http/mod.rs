//! The HTTP server and its one endpoint, which behaves as Django REST framework would.
//!
//! `serve` accepts connections, `connection_table` selects those that make room for others, `connection` serves one, and `layers` passes its requests to `handler`.
//! `target`, `format` and `preferences` read requests, and `response`, `date`, `json` and `page` write responses.
//! This module does not depend on checks: reports come from a [`ReportSource`].

mod activity;
mod connection;
mod connection_table;
mod date;
mod format;
mod handler;
pub(crate) mod header_list;
mod json;
mod layers;
mod page;
mod preferences;
mod refusal_log;
mod response;
mod serve;
mod source;
mod statistics;
mod target;

pub use connection::Arrival;
pub(crate) use json::{seconds, to_json};
pub use layers::app;
pub use serve::{ServerLimits, serve};
pub use source::ReportSource;
pub use statistics::ServerStatistics;
