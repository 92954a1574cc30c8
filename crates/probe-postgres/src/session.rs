//! A session with one server: the client and the task of its connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use probe::{Cause, Failure, Steps};
use tokio::sync::oneshot;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::error;
use crate::role::ServerState;
use crate::stream::LimitedStream;

/// A simple query takes one round trip, and every pooler supports it, unlike a prepared statement.
const STATE_QUERY: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// The time that the message `Terminate` may take after the session was dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A session that is logged in and ready for queries.
pub(crate) struct Session {
    client: Client,
    /// Why the session ended, if it ended with an error.
    ended: Arc<OnceLock<Cause>>,
    _dropped: oneshot::Sender<()>,
}

impl Session {
    /// Logs in on an open stream. TLS, if any, is part of the stream.
    pub(crate) async fn log_in(config: &Config, stream: LimitedStream) -> Result<Self, Failure> {
        let (client, connection) =
            config.connect_raw(stream, NoTls).await.map_err(error::login_failure)?;
        let (alive, dropped) = oneshot::channel();
        let ended = Arc::new(OnceLock::new());
        tokio::spawn(drive(connection, dropped, ended.clone()));
        Ok(Self { client, ended, _dropped: alive })
    }

    /// Queries the state of the server.
    pub(crate) async fn query_state(&self, steps: &Steps) -> Result<ServerState, Failure> {
        let query = async {
            let messages =
                self.client.simple_query(STATE_QUERY).await.map_err(|error| self.cause(error))?;
            parse_state(&messages).ok_or_else(|| Cause::msg("the answer is not PostgreSQL's"))
        };
        steps.run("query", query).await
    }

    /// Whether the session has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// The client only reports that the session is closed; the task of the connection has the reason.
    fn cause(&self, error: tokio_postgres::Error) -> Cause {
        match self.ended.get() {
            Some(cause) if error.is_closed() => cause.clone(),
            _ => error::cause(error),
        }
    }
}

type Connection = tokio_postgres::Connection<LimitedStream, NoTlsStream>;

/// Drives the connection until it ends or the session is dropped, then sends `Terminate` within [`CLOSE_TIMEOUT`].
async fn drive(
    mut connection: Connection,
    dropped: oneshot::Receiver<()>,
    ended: Arc<OnceLock<Cause>>,
) {
    let result = tokio::select! {
        result = &mut connection => Some(result),
        _ = dropped => None,
    };
    match result {
        Some(Err(error)) => {
            // It is set before the connection is dropped: a pending query fails only then, and reads it.
            ended.get_or_init(|| error::cause(error).connection_lost());
        }
        Some(Ok(())) => {}
        None => drop(tokio::time::timeout(CLOSE_TIMEOUT, connection).await),
    }
}

fn parse_state(messages: &[SimpleQueryMessage]) -> Option<ServerState> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let flag = |at, on, off| match row.try_get(at).ok().flatten() {
        Some(text) if text == on => Some(true),
        Some(text) if text == off => Some(false),
        _ => None,
    };
    Some(ServerState { in_recovery: flag(0, "t", "f")?, read_only: flag(1, "on", "off")? })
}
