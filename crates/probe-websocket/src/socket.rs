//! An open WebSocket: what is sent and read on it, its errors in our words, and its end.

use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use futures_util::StreamExt;
use probe::Cause;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest message that is read, wanted or not.
const MAX_MESSAGE: usize = 1024 * 1024;
/// What is read at once.
const BUFFER: usize = 4 * 1024;
/// How long the server may take to end a connection that we have said goodbye on.
const PARTING: Duration = Duration::from_secs(5);

/// A WebSocket over `S`. Dropping it drops the connection.
pub(crate) struct Socket<S>(WebSocketStream<TokioAdapter<S>>);

impl<S> Socket<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Over `stream`, after the handshake, of which the `rest` was read already.
    pub(crate) async fn new(stream: S, rest: Vec<u8>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let stream = TokioAdapter::new(stream);
        Self(WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(config)).await)
    }

    /// Sends a message.
    pub(crate) async fn send(&mut self, message: Message) -> Result<(), Cause> {
        self.0.send(message).await.map_err(cause)
    }

    /// The next message that is not the end; pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<Message, Cause> {
        match self.0.next().await {
            Some(Ok(Message::Close(frame))) => Err(closed(frame)),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(cause(error)),
            None => Err(Cause::msg(CUT)),
        }
    }

    /// Says goodbye, and lets the server end the connection, as the protocol wants it, while nobody waits for that.
    ///
    /// Dropped at once, with its answer to the goodbye unread, the server would see a connection that broke.
    pub(crate) fn leave(mut self) {
        let goodbye = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let parting = async move {
            // When the server was the first to say it, our answer goes out with the next read.
            let _said_already = self.0.close(Some(goodbye)).await;
            while let Some(Ok(_)) = self.0.next().await {}
        };
        drop(tokio::spawn(tokio::time::timeout(PARTING, parting)));
    }
}

const CUT: &str = "the server closed the connection without saying why";

/// The server's own goodbye; a reason is its words.
fn closed(frame: Option<CloseFrame>) -> Cause {
    let Some(CloseFrame { code, reason }) = frame else {
        return Cause::msg("the server closed the WebSocket without a code");
    };
    let words = match code {
        CloseCode::Normal => " (normal)",
        CloseCode::Away => " (going away)",
        CloseCode::Protocol => " (protocol error)",
        CloseCode::Policy => " (policy violation)",
        CloseCode::Error => " (internal error)",
        CloseCode::Restart => " (restart)",
        CloseCode::Again => " (try again later)",
        _ => "",
    };
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let code = u16::from(code);
    Cause::msg(format!("the server closed the WebSocket with code {code}{words}{reason}"))
}

fn cause(error: Error) -> Cause {
    match error {
        Error::Io(error) => tls::cause(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Cause::msg(CUT),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Cause::msg(format!("a message is larger than {} KiB", MAX_MESSAGE / 1024))
        }
        Error::Utf8(_) => Cause::msg("a text message is not UTF-8"),
        Error::Protocol(error) => {
            let error = Cause::from(error);
            Cause::msg(format!("the server breaks the protocol: {}", error.text()))
        }
        other => Cause::from(other),
    }
}
