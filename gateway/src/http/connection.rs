//! One connection: reads its requests, has them answered, and ends it after its time or when it is told to.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service, ServiceExt};

use super::{Limits, Peer};

/// The largest request head in bytes; a larger one is answered with 431.
const HEAD: usize = 16 * 1024;

/// How much of a request's body is read, though never looked at, before its connection is given up.
const BODY: usize = 64 * 1024;

/// How long to wait for what a caller is surely sending: the first request on its new connection, the rest of a body.
const MOMENT: Duration = Duration::from_secs(1);

/// How long the answer under way may take when its connection has to end: the checks have deadlines of their own, and this bounds callers that never read.
const LAST_ANSWER: Duration = Duration::from_mins(5);

/// Serves one connection until it ends by itself, is too old, or is told to `end`.
pub(super) async fn serve_connection<S, B>(
    stream: TcpStream,
    peer: IpAddr,
    app: S,
    limits: Limits,
    end: CancellationToken,
) where
    S: Service<Request<Peer>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Clone + Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // An answer is written at once, and must not wait for the last one's acknowledgement.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let asked = Arc::new(Notify::new());
    let asking = asked.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        asking.notify_one();
        let (head, body) = request.into_parts();
        answer(app.clone().oneshot(Request::from_parts(head, Peer(peer))), body)
    });
    // A report is small: to copy it behind its head costs less than to have the system gather both.
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(HEAD)
        .writev(false)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let time_to_end = async {
        // However these waits end, the connection has to.
        drop(timeout(limits.max_connection_age, end.cancelled()).await);
        // hyper closes a connection on which nothing was read yet, though a request may be on its way.
        drop(timeout(MOMENT, asked.notified()).await);
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = time_to_end => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST_ANSWER, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection");
    }
}

/// Waits for the answer, and reads away the body that came with the request.
async fn answer<R>(
    answer: impl Future<Output = Result<R, Infallible>>,
    body: Incoming,
) -> Result<R, hyper::Error> {
    // Most requests have none, and then hyper notices by itself that a caller hangs up.
    if body.is_end_stream() {
        let Ok(answer) = answer.await;
        return Ok(answer);
    }
    let mut answer = pin!(answer);
    let mut reading = pin!(drain_body(body));
    let Ok(answer) = tokio::select! {
        answer = &mut answer => {
            // A connection that is closed with something unread is reset, and the answer may be lost with it.
            drop(timeout(MOMENT, reading).await);
            answer
        }
        read = &mut reading => {
            read?;
            answer.await
        }
    };
    Ok(answer)
}

/// Reads a body that nobody wants, because hyper notices that a caller hung up only when it has nothing left to read.
///
/// It fails if the caller hangs up.
async fn drain_body(mut body: Incoming) -> Result<(), hyper::Error> {
    let mut read = 0;
    while read <= BODY {
        match body.frame().await {
            Some(frame) => read += frame?.data_ref().map_or(0, Bytes::len),
            None => break,
        }
    }
    Ok(())
}
