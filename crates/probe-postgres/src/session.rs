//! A session with one server, with the client and the task of its connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use probe::{Cause, Failure, Steps};
use tokio::sync::oneshot;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::error;
use crate::role::ServerState;
use crate::stream::LimitedStream;

/// This is a simple query. Unlike a prepared statement, it takes one round trip and works with every pooler.
const STATE_QUERY: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// The time limit for sending the message `Terminate` after the session was dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// A session that is logged in and ready for queries.
pub(crate) struct Session {
    client: Client,
    /// Why the session ended, if it ended with an error.
    ended: Arc<OnceLock<Cause>>,
    _dropped: oneshot::Sender<()>,
}

impl Session {
    /// Logs in on an open stream. The stream includes TLS, if it is used.
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

    /// The cause of a failed request. The client only reports that the session is closed. The task of the connection records the reason.
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
            // It is set before the connection is dropped, because a pending query then fails and reads it.
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
    let flag = |index, on, off| match row.try_get(index).ok().flatten() {
        Some(text) if text == on => Some(true),
        Some(text) if text == off => Some(false),
        _ => None,
    };
    Some(ServerState { in_recovery: flag(0, "t", "f")?, read_only: flag(1, "on", "off")? })
}
