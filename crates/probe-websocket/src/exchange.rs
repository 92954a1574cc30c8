//! Sends a ping or a message on an open WebSocket and waits for the answer.

use async_tungstenite::tungstenite::protocol::Message;
use probe::config::Fields;
use probe::{Cause, Failure, Steps};

use crate::answer::{Answer, Dialogue};
use crate::socket::Socket;

/// The number of other messages after which the check stops waiting for the answer.
const MAX_SKIPPED: usize = 1000;

/// A ping with a random payload, or a configured message.
pub(crate) enum Exchange {
    Ping,
    Message(Dialogue),
}

impl Exchange {
    /// Reads the settings of the message and its answer. Without any of them, a ping is sent.
    pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let dialogue = Dialogue::read(fields);
        if fields.has("send") { dialogue.map(Self::Message) } else { Some(Self::Ping) }
    }

    /// Sends the message and waits for its answer. Other messages are skipped.
    pub(crate) async fn run(&self, steps: &Steps, socket: &mut Socket) -> Result<(), Failure> {
        let step = self.step();
        let (sent, answer) = self.messages().map_err(|cause| Failure::new(step, cause))?;
        steps.run(step, socket.send(sent)).await?;
        for skipped in 1..=MAX_SKIPPED {
            let message = socket.next().await.map_err(|cause| Failure::new(step, cause))?;
            if answer.is(&message) {
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

    fn step(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Message(_) => "message",
        }
    }

    /// The message to send and its answer.
    fn messages(&self) -> Result<(Message, Answer), Cause> {
        match self {
            Self::Ping => {
                let payload = format!("health-gateway:{:032x}", rand::random::<u128>());
                let answer = Answer::Message(Message::Pong(payload.clone().into()));
                Ok((Message::Ping(payload.into()), answer))
            }
            Self::Message(dialogue) => dialogue.new_run(),
        }
    }
}
