//! Accepts connections and serves each in a task, within the server's limits.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use super::activity::Activity;
use super::connection::{Connection, serve_connection};
use super::connection_table::ConnectionTable;
use super::statistics::ServerStatistics;

/// How long to wait after a failed accept, unless a connection ends before.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(250);

/// How often to look for connections that may make room, while others wait.
const ROOM_INTERVAL: Duration = Duration::from_millis(50);

/// The limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// How many connections are served at a time.
    pub max_connections: u16,
    /// How many accepted connections wait for a place. Further ones wait in the system's backlog, since a monitor needs an answer even if it is late.
    pub max_waiting: u16,
    /// How long a connection may be idle while others wait. It also bounds a first head and a stalled response if the address has its share of the places.
    pub idle_grace: Duration,
    /// How long a connection may take to send its first head while others wait.
    pub first_head_grace: Duration,
    /// How long a peer may read nothing of its response while others wait.
    pub stalled_grace: Duration,
    /// How long a connection may take to send a request's head, including the idle time before it.
    pub header_timeout: Duration,
    /// The age at which a connection is closed, after the response in flight.
    pub max_connection_age: Duration,
    /// How long responses in flight may take after the shutdown has begun.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_waiting: 64,
            idle_grace: Duration::from_millis(250),
            first_head_grace: Duration::from_secs(2),
            stalled_grace: Duration::from_secs(5),
            header_timeout: Duration::from_secs(30),
            max_connection_age: Duration::from_mins(5),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl ServerLimits {
    /// The default limits, within half of the file descriptors. The others are reserved for backends, files and the gateway's own health.
    pub fn within(open_files: u64) -> Self {
        let default = Self::default();
        let bounded =
            |max: u16, part: u64| u16::try_from(part).map_or(max, |part| part.clamp(1, max));
        let max_waiting = bounded(default.max_waiting, open_files / 16);
        let max_connections =
            bounded(default.max_connections, (open_files / 2).saturating_sub(max_waiting.into()));
        Self { max_connections, max_waiting, ..default }
    }
}

/// Serves until `shutdown` completes, then drains.
///
/// `app` must always be ready.
/// Connections and answers are counted in `statistics`.
/// Draining answers every connection made by then, closes idle ones, and takes at most `drain_timeout`.
pub async fn serve<S, B>(
    listener: TcpListener,
    app: S,
    limits: ServerLimits,
    statistics: Arc<ServerStatistics>,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let stopped = CancellationToken::new();
    let mut table = ConnectionTable::new(limits, statistics.clone());
    let mut connections = JoinSet::new();
    let serve_waiting = |table: &mut ConnectionTable, connections: &mut JoinSet<()>| {
        while let Some((stream, peer)) = table.next() {
            let activity = Arc::new(Activity::new());
            let (app, end) = (app.clone(), stopped.clone());
            let connection = Connection { stream, peer, activity: activity.clone() };
            let serving = serve_connection(connection, app, limits, statistics.clone(), end);
            table.insert(connections.spawn(serving).id(), peer, activity);
        }
    };
    let mut acceptor = Acceptor { listener, retry_at: None, failing: false, out_of_files: false };
    let mut shutdown = pin!(shutdown);
    loop {
        serve_waiting(&mut table, &mut connections);
        table.make_room(acceptor.out_of_files);
        tokio::select! {
            accepted = acceptor.accept(), if table.accepts() => {
                if let Some((stream, peer)) = accepted {
                    table.enqueue(stream, peer);
                }
            }
            Some(ended) = connections.join_next_with_id() => {
                table.remove(task_id(ended));
                acceptor.retry_at = None;
            }
            () = sleep(ROOM_INTERVAL), if table.is_full() || acceptor.out_of_files => {}
            () = &mut shutdown => break,
        }
    }
    stopped.cancel();
    for (stream, peer) in backlog(acceptor.listener) {
        table.enqueue(stream, peer);
    }
    let drained = async {
        serve_waiting(&mut table, &mut connections);
        while let Some(ended) = connections.join_next_with_id().await {
            table.remove(task_id(ended));
            serve_waiting(&mut table, &mut connections);
        }
    };
    if timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain timed out, closing connections");
    }
}

fn task_id(ended: Result<(Id, ()), JoinError>) -> Id {
    ended.map_or_else(|error| error.id(), |(id, ())| id)
}

/// Accepts connections. After an error it backs off, and successive errors are logged only once.
struct Acceptor {
    listener: TcpListener,
    retry_at: Option<Instant>,
    failing: bool,
    out_of_files: bool,
}

impl Acceptor {
    /// Returns the next connection, or `None` after an error. It is cancel safe.
    async fn accept(&mut self) -> Option<(TcpStream, IpAddr)> {
        if let Some(at) = self.retry_at {
            sleep_until(at).await;
        }
        match self.listener.accept().await {
            Ok((stream, peer)) => {
                (self.retry_at, self.failing, self.out_of_files) = (None, false, false);
                Some((stream, peer.ip().to_canonical()))
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "accept failed");
                }
                let errno = Errno::from_io_error(&error);
                self.out_of_files = matches!(errno, Some(Errno::MFILE | Errno::NFILE));
                self.retry_at = Some(Instant::now() + ACCEPT_BACKOFF);
                None
            }
        }
    }
}

/// Closes the listener. Returns the connections in its backlog, which the system would reset.
fn backlog(listener: TcpListener) -> Vec<(TcpStream, IpAddr)> {
    // The runtime may not have been notified of the newest connections yet, so they are accepted from the system directly.
    let next = |listener: &std::net::TcpListener| -> io::Result<_> {
        let (stream, peer) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok((TcpStream::from_std(stream)?, peer.ip().to_canonical()))
    };
    listener.into_std().map_or_else(
        |_| Vec::new(),
        |listener| std::iter::from_fn(|| next(&listener).ok()).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_file_descriptors_are_reserved() {
        for (open_files, expected) in [(64, (28, 4)), (1024, (448, 64)), (u64::MAX, (512, 64))] {
            let limits = ServerLimits::within(open_files);
            assert_eq!((limits.max_connections, limits.max_waiting), expected, "{open_files}");
        }
    }
}
