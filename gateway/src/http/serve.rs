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
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use super::connection::serve_connection;

/// How long to wait after a failed accept, for instance because the process is out of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(250);

/// The limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    /// How many connections are served at a time. Further ones wait in the system's backlog: a monitor prefers a late answer to a refusal.
    pub max_connections: u16,
    /// How long an accepted connection waits for its turn. After that, idle connections are closed, and the others after the response in flight.
    pub accept_wait: Duration,
    /// How long a connection may take to send a request's head; the time between two requests counts.
    pub header_timeout: Duration,
    /// The age at which a connection is closed, after the response in flight.
    pub max_connection_age: Duration,
    /// How long responses in flight may take after the server is asked to shut down.
    pub drain_timeout: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            accept_wait: Duration::from_secs(1),
            header_timeout: Duration::from_secs(30),
            max_connection_age: Duration::from_mins(5),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown` completes, then drains.
///
/// Draining answers every connection made by then, closes idle ones, and takes `drain_timeout` at most.
pub async fn serve<S, B>(
    listener: TcpListener,
    app: S,
    limits: ServerLimits,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.max_connections.into()));
    let stopped = CancellationToken::new();
    // Ends the connections that were opened so far.
    let mut make_room = stopped.child_token();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let waiting = loop {
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = &mut shutdown => break None,
        };
        // One accepted connection at most waits for a permit; the rest stay in the backlog.
        let permit = async {
            let mut permit = pin!(permits.clone().acquire_owned());
            if let Ok(permit) = timeout(limits.accept_wait, &mut permit).await {
                return permit;
            }
            std::mem::replace(&mut make_room, stopped.child_token()).cancel();
            permit.await
        };
        let permit = tokio::select! {
            permit = permit => permit,
            () = &mut shutdown => break Some((stream, peer)),
        };
        let connection = serve_connection(stream, peer, app.clone(), limits, make_room.clone());
        connections.spawn(async move {
            connection.await;
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    };
    stopped.cancel();
    for (stream, peer) in waiting.into_iter().chain(backlog(listener)) {
        let connection = serve_connection(stream, peer, app.clone(), limits, stopped.clone());
        let permits = permits.clone();
        connections.spawn(async move {
            let permit = permits.acquire_owned().await;
            connection.await;
            drop(permit);
        });
    }
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain_timeout, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain timed out, closing connections");
    }
}

/// Returns the next connection. An error neither ends the server nor makes it spin, and is logged once.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    let mut failed = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip().to_canonical()),
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "accept failed");
                }
                sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// Closes the listener. Returns the connections in its backlog, which the system would reset.
fn backlog(listener: TcpListener) -> Vec<(TcpStream, IpAddr)> {
    // The runtime may not have been notified of the newest connections yet, so the system is asked directly.
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
