//! Asks a WebSocket server for a connection, and on it for the answer to a ping or to a configured message.
//!
//! ```toml
//! [websocket]
//! url = "wss://app:443/ws"
//! headers = { Authorization = "Bearer ${env:TOKEN}" }
//! subprotocol = "chat.v2"                    # which the server must then select
//! origin = "https://app.example"
//! send = '{"type":"ping"}'                   # without these two, a WebSocket ping
//! expect = '{"type":"pong"}'
//! # ca, certificate, private_key: PEM
//! ```
//!
//! Each run opens a connection of its own, since that is what the application's clients do: a server that keeps old ones alive and accepts no new one is not working.

mod answer;
mod connect;
mod handshake;
mod header;
mod question;
mod request;
mod socket;

use probe::{Check, DynChecks, Failure, Kind, Section, Steps};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::connect::Server;
use crate::question::Question;
use crate::request::Request;
use crate::socket::Socket;

/// The kind of sections that hold one WebSocket server.
pub const KIND: Kind = Kind { name: "websocket", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let url = fields.url("url", &["ws", "wss"]);
    let server = Server::read(&mut fields, url.as_ref());
    let request = Request::read(&mut fields, url.as_ref());
    let question = Question::read(&mut fields);
    fields.single(|| Some(Websocket { server: server?, request: request?, question: question? }))
}

struct Websocket {
    server: Server,
    request: Request,
    question: Question,
}

impl Check for Websocket {
    fn target(&self) -> &str {
        self.server.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let stream = self.server.connect(steps).await?;
        match self.server.tls() {
            None => self.converse(steps, stream).await,
            Some(tls) => {
                let stream = self.server.secure(steps, tls, stream).await?;
                self.converse(steps, stream).await
            }
        }
    }
}

impl Websocket {
    async fn converse<S>(&self, steps: &Steps, mut stream: S) -> Result<(), Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let rest = handshake::upgrade(steps, &mut stream, &self.request).await?;
        let mut socket = Socket::new(stream, rest).await;
        let answered = self.question.ask(steps, &mut socket).await;
        socket.leave();
        answered
    }
}
