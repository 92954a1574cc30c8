//! The floor's PostgreSQL: a login by SCRAM, then one simple query.

use std::io;
use std::net::SocketAddr;

use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};

use super::scram::Scram;
use super::socket::{Socket, unique};
use super::{Line, Questions};
use crate::error::unexpected;

/// The gateway's question, and the smallest one.
const STATE: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";
const ONE: &str = "SELECT 1";

/// See the module.
pub(super) struct Postgres {
    socket: Socket,
    question: Vec<u8>,
}

impl Postgres {
    pub(super) fn open(address: SocketAddr, questions: Questions) -> io::Result<Self> {
        let mut socket = Socket::open(address)?;
        socket.send(&startup())?;
        log_in(&mut socket)?;
        let query = match questions {
            Questions::Same => STATE,
            Questions::Smallest => ONE,
        };
        let mut opened = Self { socket, question: message(b'Q', &[query.as_bytes(), &[0]]) };
        opened.until_ready()?;
        Ok(opened)
    }

    /// Waits until the server waits for a query; tells how many rows came before.
    fn until_ready(&mut self) -> io::Result<usize> {
        let mut rows = 0;
        loop {
            match next(&mut self.socket)? {
                (b'Z', _) => return Ok(rows),
                (b'D', _) => rows += 1,
                (b'E', text) => return Err(unexpected(String::from_utf8_lossy(&text))),
                _ => {}
            }
        }
    }
}

impl Line for Postgres {
    fn put(&mut self) -> io::Result<()> {
        self.socket.send(&self.question)
    }

    fn take(&mut self) -> io::Result<()> {
        match self.until_ready()? {
            1 => Ok(()),
            rows => Err(unexpected(format!("{rows} rows"))),
        }
    }
}

fn log_in(socket: &mut Socket) -> io::Result<()> {
    let nonce = unique()?;
    let mut scram = None;
    loop {
        let (kind, body) = next(socket)?;
        let (code, text) = match (kind, body.split_at_checked(4)) {
            (b'R', Some((code, text))) => (code, String::from_utf8_lossy(text)),
            _ => return Err(unexpected(String::from_utf8_lossy(&body))),
        };
        match (code, scram.take()) {
            ([0, 0, 0, 0], _) => return Ok(()),
            ([0, 0, 0, 10], _) => {
                let begun = Scram::begin(&nonce);
                let first = begun.first();
                let length = u32::try_from(first.len()).unwrap_or_default().to_be_bytes();
                socket.send(&message(b'p', &[b"SCRAM-SHA-256\0", &length, first.as_bytes()]))?;
                scram = Some(begun);
            }
            ([0, 0, 0, 11], Some(begun)) => {
                let proof = begun.proof(&text, HEALTH_PASSWORD);
                let proof = proof.ok_or_else(|| unexpected("an unreadable challenge"))?;
                socket.send(&message(b'p', &[proof.as_bytes()]))?;
            }
            // The server shows that it knows the password as well; the bench trusts its own server.
            ([0, 0, 0, 12], _) => {}
            _ => return Err(unexpected("another way to log in than SCRAM")),
        }
    }
}

fn startup() -> Vec<u8> {
    let words = ["user", HEALTH_USER, "database", POSTGRES_DATABASE, ""];
    let words = words.map(|word| format!("{word}\0")).concat();
    let version = [0, 3, 0, 0];
    let length = u32::try_from(words.len() + 8).unwrap_or_default().to_be_bytes();
    [&length, &version, words.as_bytes()].concat()
}

fn message(kind: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len() + 4).unwrap_or_default().to_be_bytes();
    [&[kind], &length[..], &body].concat()
}

fn next(socket: &mut Socket) -> io::Result<(u8, Vec<u8>)> {
    socket.take(|received| {
        let Some((&[kind, a, b, c, d], rest)) = received.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let body = rest.get(..length.saturating_sub(4));
        Ok(body.map(|body| ((kind, body.to_vec()), length + 1)))
    })
}
