//! Entry points for the fuzzer: what a server answers.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::Health;
use crate::api::ApiResponse;
use crate::kv::{self, KvVersion};
use crate::token::{Lease, Token};

/// Reads a response as the answer to each request.
pub fn response(status: u16, content_type: &'static str, body: &[u8]) -> String {
    let mut response = Response::new(Bytes::copy_from_slice(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    let parse = || ApiResponse::new(&response);
    let now = Instant::now();
    let read = parse();
    let health = Health::parse("health", &read).map_err(|failure| failure.render(""));
    let token = Token::from_login(&read.body["auth"], now);
    let token = token.map(|token| (token.is_expired(), token.renewal_due().is_some()));
    let lease = Lease::from_lookup(&read.body["data"], now);
    let lease = (lease.expires.is_some(), lease.renewable);
    let secrets = [KvVersion::One, KvVersion::Two].map(|version| {
        let secrets = kv::parse(parse(), "secret/app", version);
        secrets.map(|secrets| secrets.len()).map_err(|failure| failure.render(""))
    });
    format!("{} {health:?} {token:?} {lease:?} {secrets:?}", read.error_text())
}
