//! Sends a ping or a message on an open WebSocket and waits for the answer.

use async_tungstenite::tungstenite::protocol::Message;
use probe::config::Fields;
use probe::{Failure, Steps};

use crate::socket::Socket;

/// The number of other messages after which the check stops waiting for the answer.
const MAX_SKIPPED: usize = 1000;

/// A ping with a random payload, or a configured message.
pub(crate) enum Exchange {
    Ping,
    Message { send: String, expect: String },
}

impl Exchange {
    /// Reads `send` and `expect`, of which each needs the other.
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

    /// Sends the message and waits for its answer. Other messages are skipped.
    pub(crate) async fn run(&self, steps: &Steps, socket: &mut Socket) -> Result<(), Failure> {
        let (step, sent, expected) = self.messages();
        steps.run(step, socket.send(sent)).await?;
        for skipped in 1..=MAX_SKIPPED {
            let message = socket.next().await.map_err(|cause| Failure::new(step, cause))?;
            if message == expected {
                return Ok(());
            }
            let bytes = message.len();
            let detail = match skipped {
                1 => format!("another message of {bytes} bytes arrived"),
                _ => format!("{skipped} other messages arrived, the last of {bytes} bytes"),
            };
            steps.begin_with(step, "not the right answer", detail);
        }
        Err(Failure::msg(
            step,
            format!("{MAX_SKIPPED} other messages arrived in place of the answer"),
        ))
    }

    /// The step, the message to send and the expected answer.
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
