//! Checks that a WebSocket server accepts a connection and answers on it.
//!
//! The check sends a ping or a configured message, and waits for the answer.
//!
//! ```toml
//! [websocket]
//! url = "wss://app:443/ws"
//! headers = { Authorization = "Bearer ${env:TOKEN}" }
//! subprotocol = "chat.v2"                    # the server must select it
//! origin = "https://app.example"
//! send = '{"type":"ping","id":"$${random}"}' # without it, a WebSocket ping
//! contains = '"id":"$${random}"'
//! matches = '"type": *"pong"'
//! # ca, certificate, private_key: PEM
//! ```
//!
//! Each run opens a new connection, as the application's clients do. A server that serves old connections but accepts no new ones is down.

mod answer;
mod exchange;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod header;
mod request;
mod response;
mod server;
mod socket;

use probe::{Check, DynChecks, Failure, Kind, Section, Steps};

use crate::exchange::Exchange;
use crate::request::UpgradeRequest;
use crate::server::Server;
use crate::socket::Socket;

/// The kind of section for one WebSocket server.
pub const KIND: Kind = Kind { name: "websocket", build };

fn build(section: &Section<'_>) -> Option<DynChecks> {
    let mut fields = section.fields();
    let url = fields.url("url", &["ws", "wss"]);
    let server = Server::read(&mut fields, url.as_ref());
    let request = UpgradeRequest::read(&mut fields, url.as_ref());
    let exchange = Exchange::read(&mut fields);
    fields.single(|| Some(Websocket { server: server?, request: request?, exchange: exchange? }))
}

struct Websocket {
    server: Server,
    request: UpgradeRequest,
    exchange: Exchange,
}

impl Check for Websocket {
    fn target(&self) -> &str {
        self.server.target()
    }

    async fn check(&self, steps: &Steps) -> Result<(), Failure> {
        let mut stream = self.server.connect(steps).await?;
        let rest = handshake::upgrade(steps, &mut stream, &self.request).await?;
        let mut socket = Socket::new(stream, rest).await;
        let result = self.exchange.run(steps, &mut socket).await;
        socket.close();
        result
    }
}
