//! The floor's Redis connection: one pipeline, and its exact replies.

use std::io;

use stack::redis::{ADMIN_PASSWORD, ADMIN_USER};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use super::socket::{Endpoint, Socket, random_hex};
use super::{FloorConnection, Requests};
use crate::error::unexpected;

/// The commands of a pipeline.
#[derive(Clone, Copy, Debug)]
pub(super) enum Commands {
    /// `PING`.
    Ping,
    /// Writes and deletes a key.
    Write,
    /// Writes, reads and deletes a key.
    Canary,
}

impl Commands {
    /// Returns the commands for a server that must be writable.
    pub(super) fn for_server(requests: Requests) -> Self {
        match requests {
            Requests::OfGateway | Requests::OfFirstRun => Self::Write,
            Requests::Smallest => Self::Ping,
        }
    }

    /// Returns the user and password for the commands.
    fn credentials(self) -> (&'static str, &'static str) {
        match self {
            // The gateway's user may only run the gateway's commands.
            Self::Ping => (ADMIN_USER, ADMIN_PASSWORD),
            Self::Write | Self::Canary => (HEALTH_USER, HEALTH_PASSWORD),
        }
    }

    /// Returns the pipeline, and its replies on success.
    fn pipeline(self, id: &str) -> (Vec<u8>, Vec<u8>) {
        let key = format!("health-gateway:{id}");
        let set = command(&["SET", &key, id, "EX", "60"]);
        let del = command(&["DEL", &key]);
        match self {
            Self::Ping => (command(&["PING"]), b"+PONG\r\n".into()),
            Self::Write => ([set, del].concat(), b"+OK\r\n:1\r\n".into()),
            Self::Canary => {
                let read = format!("+OK\r\n${}\r\n{id}\r\n:1\r\n", id.len());
                ([set, command(&["GET", &key]), del].concat(), read.into_bytes())
            }
        }
    }
}

/// A connection to one database, with a pipeline.
pub(super) struct Redis {
    socket: Socket,
    pipeline: Vec<u8>,
    replies: Vec<u8>,
}

impl Redis {
    pub(super) fn open(server: &Endpoint, database: u16, commands: Commands) -> io::Result<Self> {
        let mut socket = Socket::open(server)?;
        let (user, password) = commands.credentials();
        socket.send(&command(&["AUTH", user, password]))?;
        expect(&mut socket, b"+OK\r\n")?;
        // The user may lack the permission to select database 0, which is the default.
        if database != 0 {
            socket.send(&command(&["SELECT", &database.to_string()]))?;
            expect(&mut socket, b"+OK\r\n")?;
        }
        let (pipeline, replies) = commands.pipeline(&random_hex()?);
        Ok(Self { socket, pipeline, replies })
    }
}

impl FloorConnection for Redis {
    fn send_requests(&mut self) -> io::Result<()> {
        self.socket.send(&self.pipeline)
    }

    fn read_responses(&mut self) -> io::Result<()> {
        expect(&mut self.socket, &self.replies)
    }
}

fn expect(socket: &mut Socket, replies: &[u8]) -> io::Result<()> {
    socket.read_message(|received| match received {
        _ if received == replies => Ok(Some(((), replies.len()))),
        _ if replies.starts_with(received) => Ok(None),
        _ => Err(unexpected(String::from_utf8_lossy(received))),
    })
}

/// Encodes a command in RESP.
fn command(args: &[&str]) -> Vec<u8> {
    let parts: Vec<_> = args.iter().map(|arg| format!("${}\r\n{arg}\r\n", arg.len())).collect();
    format!("*{}\r\n{}", args.len(), parts.concat()).into_bytes()
}
