//! One session with one server: the client, and the task that moves its messages.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use probe::{Cause, Failure, Steps};
use tokio::sync::oneshot;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::error;
use crate::role::State;
use crate::stream::Guarded;

/// A simple query on purpose: one round trip, and every pooler passes it on, which is not so with prepared statements.
const QUESTION: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// So long the goodbye to the server may take after the session was dropped.
const GOODBYE: Duration = Duration::from_millis(500);

/// A session in which the server waits for our queries.
pub(crate) struct Session {
    client: Client,
    /// Why the session ended, once it has.
    ended: Arc<OnceLock<Cause>>,
    _dropped: oneshot::Sender<()>,
}

impl Session {
    /// Logs in on an open stream, which is encrypted already if it is meant to be.
    pub(crate) async fn log_in(config: &Config, stream: Guarded) -> Result<Self, Failure> {
        let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(error::login)?;
        let (alive, dropped) = oneshot::channel();
        let ended = Arc::new(OnceLock::new());
        tokio::spawn(move_messages(connection, dropped, ended.clone()));
        Ok(Self { client, ended, _dropped: alive })
    }

    /// Asks the server for its state.
    pub(crate) async fn ask(&self, steps: &Steps) -> Result<State, Failure> {
        let answer = async {
            let messages =
                self.client.simple_query(QUESTION).await.map_err(|error| self.cause(error))?;
            read(&messages).ok_or_else(|| Cause::msg("the answer is not PostgreSQL's"))
        };
        steps.run("query", answer).await
    }

    /// Whether the session is over already.
    pub(crate) fn is_over(&self) -> bool {
        self.client.is_closed()
    }

    /// The client only knows that the session is over; the task knows why.
    fn cause(&self, error: tokio_postgres::Error) -> Cause {
        match self.ended.get() {
            Some(cause) if error.is_closed() => cause.clone(),
            _ => error::cause(error),
        }
    }
}

type Connection = tokio_postgres::Connection<Guarded, NoTlsStream>;

/// Moves messages until either side is gone. A server that does not even answer our goodbye gets no more than a moment.
async fn move_messages(
    mut connection: Connection,
    dropped: oneshot::Receiver<()>,
    ended: Arc<OnceLock<Cause>>,
) {
    let over = tokio::select! {
        over = &mut connection => Some(over),
        _ = dropped => None,
    };
    match over {
        Some(Err(error)) => {
            // This stands there before the connection is dropped, which is when whoever waits for an answer looks.
            ended.get_or_init(|| error::cause(error).connection_lost());
        }
        Some(Ok(())) => {}
        None => drop(tokio::time::timeout(GOODBYE, connection).await),
    }
}

fn read(messages: &[SimpleQueryMessage]) -> Option<State> {
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })?;
    let flag = |at, on, off| match row.try_get(at).ok().flatten() {
        Some(text) if text == on => Some(true),
        Some(text) if text == off => Some(false),
        _ => None,
    };
    Some(State { in_recovery: flag(0, "t", "f")?, read_only: flag(1, "on", "off")? })
}
