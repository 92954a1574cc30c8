//! The floor's Redis: one pipeline, and the answers to it byte by byte.

use std::io;
use std::net::SocketAddr;

use stack::redis::{ADMIN_PASSWORD, ADMIN_USER};
use stack::{HEALTH_PASSWORD, HEALTH_USER};

use super::socket::{Socket, unique};
use super::{Line, Questions};
use crate::error::unexpected;

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// `PING`.
    Ping,
    /// A key is written and removed.
    Write,
    /// A key is written, read and removed.
    Keep,
}

impl Question {
    /// What is asked of a Redis that must take writes.
    pub(super) fn server(questions: Questions) -> Self {
        match questions {
            Questions::Same => Self::Write,
            Questions::Smallest => Self::Ping,
        }
    }

    /// Who may ask it.
    fn credentials(self) -> (&'static str, &'static str) {
        match self {
            // The gateway's user may do only what the gateway does.
            Self::Ping => (ADMIN_USER, ADMIN_PASSWORD),
            Self::Write | Self::Keep => (HEALTH_USER, HEALTH_PASSWORD),
        }
    }

    /// What is asked of a cache.
    pub(super) fn cache() -> Self {
        Self::Keep
    }

    /// The pipeline, and its answers if all is well.
    fn dialogue(self, id: &str) -> (Vec<u8>, Vec<u8>) {
        let key = format!("health-gateway:{id}");
        let set = words(&["SET", &key, id, "EX", "60"]);
        let del = words(&["DEL", &key]);
        match self {
            Self::Ping => (words(&["PING"]), b"+PONG\r\n".into()),
            Self::Write => ([set, del].concat(), b"+OK\r\n:1\r\n".into()),
            Self::Keep => {
                let read = format!("+OK\r\n${}\r\n{id}\r\n:1\r\n", id.len());
                ([set, words(&["GET", &key]), del].concat(), read.into_bytes())
            }
        }
    }
}

/// One connection to one database.
pub(super) struct Redis {
    socket: Socket,
    question: Vec<u8>,
    answer: Vec<u8>,
}

impl Redis {
    pub(super) fn open(address: SocketAddr, database: u16, ask: Question) -> io::Result<Self> {
        let mut socket = Socket::open(address)?;
        let (user, password) = ask.credentials();
        socket.send(&words(&["AUTH", user, password]))?;
        expect(&mut socket, b"+OK\r\n")?;
        // Who only uses database 0 may not be allowed to select it.
        if database != 0 {
            socket.send(&words(&["SELECT", &database.to_string()]))?;
            expect(&mut socket, b"+OK\r\n")?;
        }
        let (question, answer) = ask.dialogue(&unique()?);
        Ok(Self { socket, question, answer })
    }
}

impl Line for Redis {
    fn put(&mut self) -> io::Result<()> {
        self.socket.send(&self.question)
    }

    fn take(&mut self) -> io::Result<()> {
        expect(&mut self.socket, &self.answer)
    }
}

fn expect(socket: &mut Socket, answer: &[u8]) -> io::Result<()> {
    socket.take(|received| match received {
        _ if received == answer => Ok(Some(((), answer.len()))),
        _ if answer.starts_with(received) => Ok(None),
        _ => Err(unexpected(String::from_utf8_lossy(received))),
    })
}

/// A command in Redis's protocol.
fn words(words: &[&str]) -> Vec<u8> {
    let parts: Vec<_> = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    format!("*{}\r\n{}", words.len(), parts.concat()).into_bytes()
}
