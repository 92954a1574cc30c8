//! Entry points for the fuzzer: what a server answers.

use bytes::Bytes;
use http::{Response, StatusCode};

use crate::clickhouse::response::row;

/// Reads a response of `ClickHouse`.
pub fn clickhouse_response(status: u16, body: &[u8]) -> String {
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    format!("{:?}", row("query", &response).map_err(|failure| failure.render("")))
}
