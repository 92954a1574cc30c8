//! An open WebSocket: sends and receives messages, and performs the closing handshake.

use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tokio::TokioAdapter;
use async_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use async_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use async_tungstenite::tungstenite::protocol::{CloseFrame, Message, Role, WebSocketConfig};
use futures_util::StreamExt;
use probe::Cause;

/// The largest message that is received.
const MAX_MESSAGE: usize = 1024 * 1024;
/// The size of the read buffer.
const BUFFER: usize = 4 * 1024;
/// The time limit for the closing handshake.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A WebSocket. The connection is closed when it is dropped.
pub(crate) struct Socket(WebSocketStream<TokioAdapter<net::Stream>>);

impl Socket {
    /// A WebSocket over `stream` after its handshake. `rest` has the bytes that were read after the response.
    pub(crate) async fn new(stream: net::Stream, rest: Vec<u8>) -> Self {
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

    /// Receives the next message. A close frame is an error. The library answers pings.
    pub(crate) async fn next(&mut self) -> Result<Message, Cause> {
        match self.0.next().await {
            Some(Ok(Message::Close(frame))) => Err(closed(frame)),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(cause(error)),
            None => Err(Cause::msg(NO_CLOSE_FRAME)),
        }
    }

    /// Starts the closing handshake in the background. In this protocol, the server closes the connection.
    ///
    /// If the connection were dropped with the server's close frame unread, the server would get a reset.
    pub(crate) fn close(mut self) {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        let closing = async move {
            // If the server closed first, this fails, and the next read sends the reply to its close frame.
            let _closed_by_server = self.0.close(Some(frame)).await;
            while let Some(Ok(_)) = self.0.next().await {}
        };
        drop(tokio::spawn(tokio::time::timeout(CLOSE_TIMEOUT, closing)));
    }
}

const NO_CLOSE_FRAME: &str = "the server closed the connection without a close frame";

/// The server's close frame as a cause, with its code and its reason.
fn closed(frame: Option<CloseFrame>) -> Cause {
    let Some(CloseFrame { code, reason }) = frame else {
        return Cause::msg("the server closed the WebSocket without a code");
    };
    let meaning = match code {
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
    Cause::msg(format!("the server closed the WebSocket with code {code}{meaning}{reason}"))
}

fn cause(error: Error) -> Cause {
    match error {
        Error::Io(error) => net::cause(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Cause::msg(NO_CLOSE_FRAME)
        }
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Cause::msg("the server's answer is too large")
        }
        Error::Utf8(_) => Cause::msg("a text message is not UTF-8"),
        Error::Protocol(error) => {
            let error = Cause::from(error);
            Cause::msg(format!("the server breaks the protocol: {}", error.text()))
        }
        other => Cause::from(other),
    }
}
