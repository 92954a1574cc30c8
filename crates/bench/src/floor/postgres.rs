//! The floor's PostgreSQL connection: a SCRAM login, then simple queries.

use std::io::{self, Read, Write};

use stack::{HEALTH_PASSWORD, HEALTH_USER, POSTGRES_DATABASE};

use super::scram::Scram;
use super::socket::{Endpoint, Socket, random_hex};
use super::{FloorConnection, Requests};
use crate::error::unexpected;

/// The gateway's query in each run.
const STATE: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// Its query for each new connection.
const CONNECTIONS: &str = "SELECT pg_catalog.sum(numbackends), pg_catalog.current_setting('max_connections') FROM pg_catalog.pg_stat_database";

/// Its queries before a commit.
const PRIVILEGES: &str = "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'), pg_catalog.has_function_privilege(3577, 'EXECUTE'), pg_catalog.current_setting('wal_level')";
const ACTIVITY: &str = "SELECT wait_event_type, wait_event FROM pg_catalog.pg_stat_activity WHERE usename = SESSION_USER AND datname = pg_catalog.current_database() AND state = 'active' AND pid <> pg_catalog.pg_backend_pid() AND query LIKE '/* health-gateway: commit */%'";

/// What it commits.
const WRITE: &str = "/* health-gateway: commit */ SET LOCAL temp_tablespaces = ''; CREATE TEMPORARY TABLE health_gateway ON COMMIT DROP AS SELECT pg_catalog.repeat('x', 100) AS row FROM pg_catalog.generate_series(1, 72)";

/// The smallest query.
const ONE: &str = "SELECT 1";

/// A connection with queries, of which the first returns one row.
pub(super) struct Postgres {
    socket: Socket,
    query_messages: Vec<u8>,
    queries: usize,
}

impl Postgres {
    pub(super) fn open(server: &Endpoint, requests: Requests) -> io::Result<Self> {
        let mut stream = server.connect()?;
        if server.tls.is_some() {
            request_tls(&mut stream)?;
        }
        let mut socket = Socket::over(stream, server)?;
        socket.send(&startup())?;
        log_in(&mut socket)?;
        let queries: &[&str] = match requests {
            Requests::OfGateway => &[STATE],
            Requests::OfFirstRun => &[STATE, CONNECTIONS, PRIVILEGES, ACTIVITY, WRITE],
            Requests::Smallest => &[ONE],
        };
        let messages = queries.iter().map(|query| message(b'Q', &[query.as_bytes(), &[0]]));
        let query_messages = messages.collect::<Vec<_>>().concat();
        let mut opened = Self { socket, query_messages, queries: queries.len() };
        opened.until_ready()?;
        Ok(opened)
    }

    /// Reads until `ReadyForQuery`, and returns the number of rows.
    fn until_ready(&mut self) -> io::Result<usize> {
        let mut rows = 0;
        loop {
            match next_message(&mut self.socket)? {
                (b'Z', _) => return Ok(rows),
                (b'D', _) => rows += 1,
                (b'E', text) => return Err(unexpected(String::from_utf8_lossy(&text))),
                _ => {}
            }
        }
    }
}

impl FloorConnection for Postgres {
    fn send_requests(&mut self) -> io::Result<()> {
        self.socket.send(&self.query_messages)
    }

    fn read_responses(&mut self) -> io::Result<()> {
        let rows = self.until_ready()?;
        if rows != 1 {
            return Err(unexpected(format!("{rows} rows")));
        }
        for _ in 1..self.queries {
            self.until_ready()?;
        }
        Ok(())
    }
}

/// Sends an `SSLRequest`, which the server must accept.
fn request_tls(stream: &mut (impl Read + Write)) -> io::Result<()> {
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    if answer == *b"S" { Ok(()) } else { Err(unexpected("a server without TLS")) }
}

fn log_in(socket: &mut Socket) -> io::Result<()> {
    let nonce = random_hex()?;
    let mut scram = None;
    loop {
        let (kind, body) = next_message(socket)?;
        let (code, text) = match (kind, body.split_at_checked(4)) {
            (b'R', Some((code, text))) => (code, String::from_utf8_lossy(text)),
            _ => return Err(unexpected(String::from_utf8_lossy(&body))),
        };
        match (code, scram.take()) {
            ([0, 0, 0, 0], _) => return Ok(()),
            ([0, 0, 0, 10], _) => {
                let login = Scram::start(&nonce);
                let first = login.client_first();
                let length = u32::try_from(first.len()).unwrap_or_default().to_be_bytes();
                socket.send(&message(b'p', &[b"SCRAM-SHA-256\0", &length, first.as_bytes()]))?;
                scram = Some(login);
            }
            ([0, 0, 0, 11], Some(login)) => {
                let proof = login.client_final(&text, HEALTH_PASSWORD);
                let proof = proof.ok_or_else(|| unexpected("an unreadable challenge"))?;
                socket.send(&message(b'p', &[proof.as_bytes()]))?;
            }
            // The server's signature is not verified, because the server is the bench's own.
            ([0, 0, 0, 12], _) => {}
            _ => return Err(unexpected("an authentication method other than SCRAM-SHA-256")),
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

fn next_message(socket: &mut Socket) -> io::Result<(u8, Vec<u8>)> {
    socket.read_message(|received| {
        let Some((&[kind, a, b, c, d], rest)) = received.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let body = rest.get(..length.saturating_sub(4));
        Ok(body.map(|body| ((kind, body.to_vec()), length + 1)))
    })
}
