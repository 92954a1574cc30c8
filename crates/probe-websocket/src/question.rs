//! What is asked on an open WebSocket, and its answer among whatever else the server sends.

use async_tungstenite::tungstenite::protocol::Message;
use probe::config::Fields;
use probe::{Failure, Steps};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::socket::Socket;

/// So many other messages are skipped, so that a server that only talks is not listened to for ever.
const MAX_OTHERS: usize = 1000;

/// A ping with a payload of its own, or a configured message.
pub(crate) enum Question {
    Ping,
    Message { send: String, expect: String },
}

impl Question {
    /// Reads `send` and `expect`, of which none stands alone.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let send: Option<String> = fields.optional("send");
        let expect: Option<String> = fields.optional("expect");
        for (key, other) in [("send", "expect"), ("expect", "send")] {
            if fields.has(key) && !fields.has(other) {
                fields.error(key, format!("expected `{other}` beside it"));
            }
        }
        if !fields.has("send") {
            return Some(Self::Ping);
        }
        Some(Self::Message { send: send?, expect: expect? })
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask<S>(&self, steps: &Steps, socket: &mut Socket<S>) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (step, question, answer) = self.messages();
        steps.run(step, socket.send(question)).await?;
        for others in 1..=MAX_OTHERS {
            let message = socket.next().await.map_err(|cause| Failure::new(step, cause))?;
            if message == answer {
                return Ok(());
            }
            let bytes = message.len();
            let known = match others {
                1 => format!("another message came, of {bytes} bytes"),
                _ => format!("{others} other messages came, the last of {bytes} bytes"),
            };
            steps.begin_with(step, "not the right answer", known);
        }
        Err(Failure::msg(step, format!("{MAX_OTHERS} other messages came in place of the answer")))
    }

    fn messages(&self) -> (&'static str, Message, Message) {
        match self {
            Self::Ping => {
                let payload = format!("health-gateway:{:032x}", rand::random::<u128>());
                ("ping", Message::Ping(payload.clone().into()), Message::Pong(payload.into()))
            }
            Self::Message { send, expect } => {
                ("message", Message::text(send.as_str()), Message::text(expect.as_str()))
            }
        }
    }
}
