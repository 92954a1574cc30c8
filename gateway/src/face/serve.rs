//! Serves the application on a socket, bounded in everything: heads, idle time, bodies, connections, and the end.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tower::{BoxError, Service, ServiceExt};

use super::Peer;

/// The largest request head in bytes; a larger one is answered with 431.
const HEAD: usize = 16 * 1024;

/// How much of a request's body is read, though never looked at, before its connection is given up.
const BODY: usize = 64 * 1024;

/// How long to wait when no connection can be accepted, for instance because the files of the process are used up.
const PAUSE: Duration = Duration::from_millis(250);

/// The bounds of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time. Those beyond wait in the system's backlog: late is better than refused for a monitor, and costs us nothing.
    pub connections: u16,
    /// How long a connection may take to send a request's head, the time between two requests included.
    pub idle: Duration,
    /// How long a connection lives; it ends after the answer in flight. This bounds callers that never read their answers.
    pub age: Duration,
    /// How long answers in flight may take once the server is asked to end.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            idle: Duration::from_secs(30),
            age: Duration::from_mins(5),
            drain: Duration::from_secs(10),
        }
    }
}

/// Serves until `shutdown`, then stops accepting, closes idle connections, and returns when the answers in flight are written.
pub async fn serve<S, B>(
    listener: TcpListener,
    app: S,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limits.connections.into()));
    let (stop, stopped) = watch::channel(());
    let accepting = async move {
        loop {
            // The slot comes first, so that nothing is accepted that cannot be served.
            let slot = slots.clone().acquire_owned().await;
            let (stream, peer) = accept(&listener).await;
            let connection = attend(stream, peer, app.clone(), limits, stopped.clone());
            tokio::spawn(async move {
                connection.await;
                drop(slot);
            });
        }
    };
    tokio::select! {
        () = accepting => {}
        () = shutdown => {}
    }
    // Whoever is still served holds a receiver.
    stop.send_replace(());
    stop.closed().await;
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

/// Serves one connection to its end.
async fn attend<S, B>(
    stream: TcpStream,
    peer: IpAddr,
    app: S,
    limits: Limits,
    mut stopped: watch::Receiver<()>,
) where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
{
    // An answer is written at once, and must not wait for the last one's acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (mut head, body) = request.into_parts();
        head.extensions.insert(Peer(peer));
        let answer = app.clone().oneshot(Request::from_parts(head, Empty::new()));
        async {
            tokio::select! {
                answer = answer => Ok(answer.unwrap_or_else(|never| match never {})),
                Err(gone) = read_away(body) => Err(gone),
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = until_stopped_or(limits.age, &mut stopped) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.drain, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection");
    }
}

/// Reads a body that nobody wants, because hyper notices that a caller hung up only when it has nothing left to read.
///
/// It fails if the caller hangs up, and else never ends.
async fn read_away(mut body: Incoming) -> Result<Infallible, hyper::Error> {
    let mut read = 0;
    while read <= BODY {
        match body.frame().await {
            Some(frame) => read += frame?.data_ref().map_or(0, Bytes::len),
            None => break,
        }
    }
    drop(body);
    std::future::pending().await
}

async fn until_stopped_or(age: Duration, stopped: &mut watch::Receiver<()>) {
    // However the wait ends, the connection has to.
    drop(timeout(age, stopped.changed()).await);
}
