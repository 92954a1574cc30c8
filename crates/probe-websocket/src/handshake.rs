//! The handshake: the request for the upgrade, and the head of its answer.
//!
//! It is our own, since the library's knows no answer in HTTP/1.0, which some proxies give when the server is down, and refuses a `Connection: keep-alive, Upgrade`.

use async_tungstenite::tungstenite::handshake::client::generate_key;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use probe::{Cause, Failure, Steps};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::answer::Answer;
use crate::request::Request;

/// The largest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// Makes `stream` a WebSocket, and gives back what came after the handshake already.
pub(crate) async fn upgrade<S>(
    steps: &Steps,
    stream: &mut S,
    request: &Request,
) -> Result<Vec<u8>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let key = generate_key();
    let (answer, rest) = steps.run("handshake", exchange(stream, &request.text(&key))).await?;
    answer.judge(&derive_accept_key(key.as_bytes()), request)?;
    Ok(rest)
}

async fn exchange<S>(stream: &mut S, request: &str) -> Result<(Answer, Vec<u8>), Cause>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await.map_err(tls::cause)?;
    stream.flush().await.map_err(tls::cause)?;
    let mut read = Vec::with_capacity(1024);
    while read.len() <= MAX_HEAD {
        if stream.read_buf(&mut read).await.map_err(tls::cause)? == 0 {
            let cause = "the server closed the connection without a complete answer";
            return Err(Cause::msg(cause));
        }
        if let Some((answer, length)) = Answer::parse(&read).map_err(Cause::msg)? {
            return Ok((answer, read.split_off(length)));
        }
    }
    Err(Cause::msg(format!("the answer's head is larger than {} KiB", MAX_HEAD / 1024)))
}
