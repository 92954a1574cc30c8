//! Serves the application on a socket, bounded in everything: connections, idle time, and the end.

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

use super::Peer;
use super::connection::serve_connection;

/// How long to wait when no connection can be accepted, for instance because the files of the process are used up.
const PAUSE: Duration = Duration::from_millis(250);

/// The bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. Those beyond wait, in the system's backlog but for one: late is better than refused for a monitor, and costs us nothing.
    pub connections: u16,
    /// How long a caller waits for one before those that are open make room: the idle ones end at once, the others after the answer under way.
    pub accept_wait: Duration,
    /// How long a connection may take to send a request's head, the time between two requests included.
    pub header_timeout: Duration,
    /// How long a connection lives; it ends after the answer under way.
    pub max_connection_age: Duration,
    /// How long the answers under way may take once the server is asked to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            accept_wait: Duration::from_secs(1),
            header_timeout: Duration::from_secs(30),
            max_connection_age: Duration::from_mins(5),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown`, then answers whoever has connected by then, closes idle connections, and returns.
pub async fn serve<S, B>(
    listener: TcpListener,
    app: S,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Peer>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections.into()));
    let stopped = CancellationToken::new();
    // Ends the connections that are open by then.
    let mut make_room = stopped.child_token();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    let last = loop {
        let (stream, peer) = tokio::select! {
            newcomer = accept(&listener) => newcomer,
            () = &mut shutdown => break None,
        };
        // Nobody else is accepted before there is a slot for the one who was.
        let turn = async {
            let mut slot = pin!(slots.clone().acquire_owned());
            if let Ok(slot) = timeout(limits.accept_wait, &mut slot).await {
                return slot;
            }
            std::mem::replace(&mut make_room, stopped.child_token()).cancel();
            slot.await
        };
        let slot = tokio::select! {
            slot = turn => slot,
            () = &mut shutdown => break Some((stream, peer)),
        };
        let connection = serve_connection(stream, peer, app.clone(), limits, make_room.clone());
        connections.spawn(async move {
            connection.await;
            drop(slot);
        });
        while connections.try_join_next().is_some() {}
    };
    stopped.cancel();
    for (stream, peer) in last.into_iter().chain(backlog(listener)) {
        let connection = serve_connection(stream, peer, app.clone(), limits, stopped.clone());
        let slots = slots.clone();
        connections.spawn(async move {
            let slot = slots.acquire_owned().await;
            connection.await;
            drop(slot);
        });
    }
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(limits.drain, ended).await.is_err() {
        tracing::warn!(connections = connections.len(), "the end came before their answers");
    }
}

/// The next connection. Nothing that goes wrong with one ends the server or makes it spin.
async fn accept(listener: &TcpListener) -> (TcpStream, IpAddr) {
    let mut failed = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip().to_canonical()),
            Err(error) => {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!(%error, "accept");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Closes the listener; returns the connections that waited in its backlog, which the system would reset.
fn backlog(listener: TcpListener) -> Vec<(TcpStream, IpAddr)> {
    // The system is asked rather than the runtime, which may not have heard of the newest yet.
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
