//! Serves one connection, within its limits of size and time.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::header::DATE;
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{BoxError, Service};

use super::ServerLimits;
use super::activity::{Activity, Phase, TrackedStream};
use super::date::date_if_set_back;
use super::statistics::ServerStatistics;
use super::target::Target;

/// The size limit of a request head in bytes. A larger one is answered with 431.
const MAX_HEAD: usize = 16 * 1024;

/// How much of a request's body is drained before the connection is closed.
const MAX_BODY: usize = 64 * 1024;

/// How long to wait for bytes that are probably in transit: the first request of a connection, or the rest of a body.
const IN_TRANSIT_WAIT: Duration = Duration::from_secs(1);

/// How long the response in flight may take when its connection has to end.
/// Reports have deadlines of their own, so this is for callers that never read.
const LAST_RESPONSE_TIMEOUT: Duration = Duration::from_mins(5);

/// How often to look whether a connection that has to make room can be closed.
const EVICTION_INTERVAL: Duration = Duration::from_millis(100);

/// The size of a socket's send buffer, which the system doubles for its own use.
///
/// The system would let it grow to several megabytes, so that thousands of pipelined requests would be answered before a peer that reads nothing is noticed.
const SEND_BUFFER: usize = 64 * 1024;

/// Where a request came from, when, and what it asks for, as a request extension.
#[derive(Clone)]
pub struct Arrival {
    /// The address of the caller.
    pub peer: IpAddr,
    /// When the head of the request was complete.
    pub at: Instant,
    pub(crate) target: Target,
}

impl Arrival {
    /// A request that has arrived now.
    pub fn new(peer: IpAddr, uri: Uri) -> Self {
        Self { peer, at: Instant::now(), target: uri.into() }
    }
}

/// An accepted connection.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) peer: IpAddr,
    pub(super) activity: Arc<Activity>,
}

/// Serves a connection until it ends by itself, is too old, has to make room, or `end` is cancelled.
pub(super) async fn serve_connection<S, B>(
    connection: Connection,
    app: S,
    limits: ServerLimits,
    statistics: Arc<ServerStatistics>,
    end: CancellationToken,
) where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible, Future: Send>,
    S: Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let Connection { stream, peer, activity } = connection;
    if set_options(&stream).is_err() {
        return;
    }
    let first_request = Arc::new(Notify::new());
    let (received, answering) = (first_request.clone(), activity.clone());
    let app = Mutex::new(app);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        received.notify_one();
        answering.enter(Phase::Answering);
        let (mut head, body) = request.into_parts();
        // The URI contains the token, and many libraries log it.
        let arrival = Arrival::new(peer, std::mem::take(&mut head.uri));
        head.extensions.insert(arrival);
        let statistics = statistics.clone();
        let response =
            app.lock().call(Request::from_parts(head, ())).map_ok(move |mut response| {
                statistics.count_answer(response.status());
                if let Some(date) = date_if_set_back() {
                    response.headers_mut().insert(DATE, date);
                }
                response
            });
        respond(response, body, answering.clone())
    });
    // Reports are small: copying one behind its head costs less than a vectored write.
    // hyper's own timeout for heads would be a new timer for each request.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .writev(false)
        .serve_connection(TrackedStream::new(stream, activity.clone()), service);
    let mut connection = pin!(connection);
    let time_to_end = async {
        let age = async {
            // The connection has to end after either result of these waits.
            drop(timeout(limits.max_connection_age, end.cancelled()).await);
            // hyper closes a connection from which it has read nothing yet, though a request may be in transit.
            drop(timeout(IN_TRANSIT_WAIT, first_request.notified()).await);
        };
        tokio::select! {
            () = age => {}
            () = activity.evicted() => {}
        }
    };
    // In sets, these are polled when one of their own timers or signals wakes them, and not for every read of the connection.
    let mut time_to_end: FuturesUnordered<_> = [time_to_end].into_iter().collect();
    let mut overdue: FuturesUnordered<_> =
        [activity.head_overdue(limits.header_timeout)].into_iter().collect();
    tokio::select! {
        result = connection.as_mut() => return log_failure(peer, result),
        Some(()) = time_to_end.next() => {}
        Some(()) = overdue.next() => return log_overdue(peer),
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        // First, so that an idle connection closes by itself.
        biased;
        result = timeout(LAST_RESPONSE_TIMEOUT, connection) => {
            log_failure(peer, result.unwrap_or(Ok(())));
        }
        Some(()) = overdue.next() => log_overdue(peer),
        () = forced_to_close(&activity, &limits) => {}
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    // With Nagle's algorithm, a response could wait for the acknowledgement of the previous one.
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_send_buffer_size(SEND_BUFFER)
}

fn log_failure(peer: IpAddr, result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "connection failed");
    }
}

fn log_overdue(peer: IpAddr) {
    tracing::debug!(%peer, "connection closed without a complete request");
}

/// Waits until the connection has to make room, but its peer keeps it open with an incomplete head or an unread response.
async fn forced_to_close(activity: &Activity, limits: &ServerLimits) {
    activity.evicted().await;
    while !activity.is_evictable(limits, true) {
        sleep(EVICTION_INTERVAL).await;
    }
}

/// Waits for the response, and drains the request's body meanwhile.
async fn respond<R>(
    response: impl Future<Output = Result<R, Infallible>>,
    body: Incoming,
    activity: Arc<Activity>,
) -> Result<R, hyper::Error> {
    // Without a body, hyper itself detects that the caller disconnects.
    if body.is_end_stream() {
        let Ok(response) = response.await;
        activity.enter(Phase::Writing);
        return Ok(response);
    }
    let mut response = pin!(response);
    let mut draining = pin!(drain_body(body));
    let Ok(response) = tokio::select! {
        response = &mut response => {
            // The system resets a connection that is closed with unread bytes, and the response may be lost.
            activity.enter(Phase::Draining);
            tokio::select! {
                _ = timeout(IN_TRANSIT_WAIT, draining) => {}
                () = activity.evicted() => {}
            }
            response
        }
        drained = &mut draining => {
            drained?;
            response.await
        }
    };
    activity.enter(Phase::Writing);
    Ok(response)
}

/// Reads and discards a body, because hyper detects a disconnect only when nothing is left to read.
///
/// Returns an error if the caller disconnects.
async fn drain_body(mut body: Incoming) -> Result<(), hyper::Error> {
    let mut length = 0;
    while length <= MAX_BODY {
        match body.frame().await {
            Some(frame) => length += frame?.data_ref().map_or(0, Bytes::len),
            None => break,
        }
    }
    Ok(())
}
