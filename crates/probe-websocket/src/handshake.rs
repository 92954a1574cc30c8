//! The opening handshake: sends the upgrade request and reads the response.
//!
//! The library's handshake rejects HTTP/1.0 responses, which some proxies send while the server is down, and `Connection: keep-alive, Upgrade`.

use async_tungstenite::tungstenite::handshake::client::generate_key;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use probe::{Cause, Failure, Steps};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::request::UpgradeRequest;
use crate::response::UpgradeResponse;

/// The largest head of a response.
const MAX_HEAD: usize = 64 * 1024;

/// Upgrades `stream` to a WebSocket, and returns the bytes that were read after the response.
pub(crate) async fn upgrade(
    steps: &Steps,
    stream: &mut net::Stream,
    request: &UpgradeRequest,
) -> Result<Vec<u8>, Failure> {
    let key = generate_key();
    let text = request.text(&key);
    let (response, rest) = steps.run("handshake", exchange(stream, text.expose())).await?;
    response.verify(&derive_accept_key(key.as_bytes()), request)?;
    Ok(rest)
}

async fn exchange(
    stream: &mut net::Stream,
    request: &str,
) -> Result<(UpgradeResponse, Vec<u8>), Cause> {
    stream.write_all(request.as_bytes()).await.map_err(net::cause)?;
    stream.flush().await.map_err(net::cause)?;
    let mut buffer = Vec::with_capacity(1024);
    while buffer.len() <= MAX_HEAD {
        if stream.read_buf(&mut buffer).await.map_err(net::cause)? == 0 {
            let cause = "the server closed the connection without a complete answer";
            return Err(Cause::msg(cause));
        }
        if let Some((response, length)) = UpgradeResponse::parse(&buffer).map_err(Cause::msg)? {
            return Ok((response, buffer.split_off(length)));
        }
    }
    Err(Cause::msg(format!("the answer's head is larger than {} KiB", MAX_HEAD / 1024)))
}
