//! A session with one server, with the client and the task of its connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use probe::{Cause, Failure, LastReceived, Observation, Steps};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres::{Client, Config, SimpleQueryMessage, SimpleQueryRow};

use crate::channel_binding::{BoundStream, Negotiated};
use crate::endpoint::Endpoint;
use crate::error;
use crate::product::Product;
use crate::role::ServerState;
use crate::stream::{LimitedStream, Stream};

/// This is a simple query. Unlike a prepared statement, it takes one round trip and works with every pooler.
const STATE_QUERY: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// The connections to all databases and their limit, which `PUBLIC` may read.
const CONNECTIONS_QUERY: &str = "SELECT pg_catalog.sum(numbackends), pg_catalog.current_setting('max_connections') FROM pg_catalog.pg_stat_database";

/// The time limit for sending the message `Terminate` after the session was dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

/// How to reach the server of a session again.
pub(crate) struct Peer {
    pub(crate) address: Endpoint,
    /// Absent if the session is not encrypted.
    pub(crate) tls: Option<PeerTls>,
}

/// The TLS of a session.
pub(crate) struct PeerTls {
    /// The host of the certificate.
    pub(crate) host: String,
    pub(crate) negotiated: Negotiated,
}

/// A session that is logged in and ready for queries.
pub(crate) struct Session {
    client: Client,
    peer: Peer,
    product: Product,
    last_received: LastReceived,
    /// The connections of the server and their limit when this session was new, if the user may see them.
    connections: OnceLock<Option<(u64, u64)>>,
    /// Why the session ended, if it ended with an error.
    ended: Arc<OnceLock<Cause>>,
    _dropped: oneshot::Sender<()>,
}

impl Session {
    /// Logs in on an open stream. The stream includes TLS, if it is used.
    pub(crate) async fn log_in(
        config: &Config,
        stream: LimitedStream,
        peer: Peer,
    ) -> Result<Self, Failure> {
        let last_received = stream.last_received().clone();
        let mut config = config.clone();
        let negotiated = peer.tls.as_ref().map(|tls| tls.negotiated.clone());
        if negotiated.is_some() {
            // The stream is taken as it is, without another request for TLS.
            config.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        }
        let negotiated = negotiated.unwrap_or_default();
        let (client, connection) =
            config.connect_raw(stream, negotiated).await.map_err(error::login_failure)?;
        let product = Product::from_parameters(|name| connection.parameter(name));
        let (alive, dropped) = oneshot::channel();
        let ended = Arc::new(OnceLock::new());
        tokio::spawn(drive(connection, dropped, ended.clone()));
        let connections = OnceLock::new();
        Ok(Self { client, peer, product, last_received, connections, ended, _dropped: alive })
    }

    /// Queries the state of the server, and once for each session also the number of its connections.
    pub(crate) async fn query_state(&self, steps: &Steps) -> Result<ServerState, Failure> {
        let query = async {
            // Neither query depends on the response to the other, so both take one round trip.
            let (rows, ()) = tokio::join!(self.query(STATE_QUERY), self.count_connections());
            if let Some((count, max)) = self.connections.get().copied().flatten() {
                steps.observe(Observation::PostgresConnections(count));
                steps.observe(Observation::PostgresConnectionsMax(max));
            }
            rows?.first().and_then(parse_state).ok_or_else(error::unexpected_answer)
        };
        steps.run("query", query).await
    }

    async fn count_connections(&self) {
        if self.product == Product::PostgreSql && self.connections.get().is_none() {
            let rows = self.query(CONNECTIONS_QUERY).await;
            let row = rows.as_ref().ok().and_then(|rows| rows.first());
            let number = |column: usize| row?.try_get(column).ok()??.parse::<u64>().ok();
            self.connections.get_or_init(|| number(0).zip(number(1)));
        }
    }

    /// Runs a simple query, and returns its rows.
    pub(crate) async fn query(&self, sql: &str) -> Result<Vec<SimpleQueryRow>, Cause> {
        let messages = self.client.simple_query(sql).await.map_err(|error| self.cause(error))?;
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        };
        Ok(messages.into_iter().filter_map(row).collect())
    }

    /// Sends a cancel request for this session on `stream`, a new connection, and waits until the server closes it: `PgBouncer` drops a request when its client has disconnected.
    pub(crate) async fn cancel(&self, mut stream: Box<dyn Stream>) -> Result<(), Cause> {
        let mut request = Vec::new();
        let writer = tokio::io::join(tokio::io::empty(), &mut request);
        self.client
            .cancel_token()
            .cancel_query_raw(writer, Negotiated::default())
            .await
            .map_err(error::cause)?;
        stream.write_all(&request).await?;
        stream.flush().await?;
        // Nothing is sent before the end of the stream.
        drop(stream.read_u8().await);
        Ok(())
    }

    /// The server of this session.
    pub(crate) fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What the server is.
    pub(crate) fn product(&self) -> Product {
        self.product
    }

    /// Whether the server has sent something since then.
    pub(crate) fn has_received_since(&self, since: Instant) -> bool {
        self.last_received.is_after(since)
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

type Connection = tokio_postgres::Connection<LimitedStream, BoundStream<LimitedStream>>;

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

fn parse_state(row: &SimpleQueryRow) -> Option<ServerState> {
    let flag = |index, on, off| match row.try_get(index).ok().flatten() {
        Some(text) if text == on => Some(true),
        Some(text) if text == off => Some(false),
        _ => None,
    };
    Some(ServerState { in_recovery: flag(0, "t", "f")?, read_only: flag(1, "on", "off")? })
}
