//! Entry points for the fuzzer: what a server sends.

#![expect(clippy::expect_used, reason = "the fuzzer reports panics")]

use probe::config::{Diagnostics, Fields, Node, Url, Value};
use tokio::net::UnixStream;

use crate::request::UpgradeRequest;
use crate::response::UpgradeResponse;
use crate::socket::Socket;

/// The `Sec-WebSocket-Accept` that a response must have.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Reads `bytes` as the response to an upgrade request.
pub fn response(bytes: &[u8]) -> String {
    let diagnostics = Diagnostics::default();
    let section = Node { line: 1, value: Value::Table(Vec::new()) };
    let mut fields = Fields::new("websocket".to_owned(), &section, &diagnostics);
    let url = Url::parse("ws://server/").expect("a URL");
    let request = UpgradeRequest::read(&mut fields, Some(&url)).expect("a request");
    match UpgradeResponse::parse(bytes) {
        Ok(None) => "incomplete".to_owned(),
        Ok(Some((response, length))) => {
            let verified = response.verify(ACCEPT, &request).map_err(|failure| failure.render(""));
            format!("{} {verified:?}", length == bytes.len())
        }
        Err(reason) => reason.to_owned(),
    }
}

/// Receives `bytes` as the messages of a server that then closes the connection.
pub async fn messages(bytes: &[u8]) -> String {
    let (ours, server) = UnixStream::pair().expect("a pair of sockets");
    drop(server);
    let mut socket = Socket::new(net::Stream::Unix(ours), bytes.to_vec()).await;
    let mut received = 0;
    loop {
        match socket.next().await {
            Ok(_) => received += 1,
            Err(cause) => return format!("{received} {}", cause.text()),
        }
    }
}
