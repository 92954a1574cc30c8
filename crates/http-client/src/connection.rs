//! Opens and closes an HTTP/1.1 connection, and exchanges a request for its response.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use probe::{Cause, Connect, Connecting, Failure, LastReceived, Steps, step};
use tokio::sync::SetOnce;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::client::{Unhedged, is_repeatable};
use crate::stream::WatchedStream;
use crate::{MAX_BODY, TOO_LARGE};

/// The largest head of a response: the size of the read buffer.
const MAX_HEAD: usize = 64 * 1024;

const CLOSED: &str = "the server closed the connection without a complete answer";

/// Opens connections to one server.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    host: String,
    port: u16,
    tls: Option<net::TlsSettings>,
}

impl Connector {
    pub(crate) fn new(host: &str, port: u16, tls: Option<net::TlsSettings>) -> Self {
        Self { host: host.to_owned(), port, tls }
    }
}

impl Connect for Connector {
    type Connection = Connection;

    fn connect<'a>(&'a self, steps: &'a Steps) -> Connecting<'a, Connection> {
        Box::pin(async move {
            let stream = net::connect(steps, &self.host, self.port, self.tls.as_ref()).await?;
            Connection::new(stream).await.map_err(|error| Failure::new(step::CONNECT, error))
        })
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.failed.load(Ordering::Relaxed) || connection.end.get().is_some()
    }

    fn has_received_since(connection: &Connection, since: Instant) -> bool {
        connection.last_received.is_after(since)
    }
}

/// An open connection. It is closed when it is dropped.
pub(crate) struct Connection {
    sender: Mutex<SendRequest<Full<Bytes>>>,
    driver: AbortHandle,
    /// Why the connection ended. A server may close an idle connection with a reason, such as a refused client certificate.
    end: Arc<SetOnce<Cause>>,
    /// Whether an exchange failed. What the server sends after that cannot be matched to a request.
    failed: AtomicBool,
    last_received: LastReceived,
}

impl Connection {
    async fn new(stream: net::Stream) -> hyper::Result<Self> {
        let (stream, last_received) = WatchedStream::new(stream);
        let (sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        let end = Arc::new(SetOnce::new());
        let reported = end.clone();
        let driver = tokio::spawn(async move {
            let cause = connection.await.map_or_else(cause, |()| Cause::msg(CLOSED));
            // This cannot fail, since it is set only here.
            drop(reported.set(cause));
        });
        let (sender, driver) = (Mutex::new(sender), driver.abort_handle());
        Ok(Self { sender, driver, end, failed: AtomicBool::new(false), last_received })
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cause> {
        let response = self.try_exchange(request).await;
        if response.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        response
    }

    async fn try_exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cause> {
        let repeatable = is_repeatable(&request);
        if poll_fn(|context| self.sender.lock().poll_ready(context)).await.is_err() {
            return Err(self.not_sent().await);
        }
        if let Some(unhedged) = request.extensions().get::<Unhedged>() {
            unhedged.count();
        }
        let mut sending = pin!(self.sender.lock().try_send_request(request.map(Full::new)));
        let sent = tokio::select! {
            biased;
            sent = &mut sending => Some(sent),
            // A request that is put into the queue of hyper's task while that ends stays there.
            _ = self.end.wait() => sending.now_or_never(),
        };
        let Some(sent) = sent else { return Err(self.not_sent().await) };
        let response = match sent {
            Ok(response) => response,
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                let error = error.into_error();
                return Err(match unsent {
                    true if is_tls_error(&error) => cause(error).connection_lost(),
                    true => self.not_sent().await,
                    false => no_response(error, repeatable),
                });
            }
        };
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map_err(|error| incomplete_body(error, repeatable))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Why the connection was closed before the request was sent.
    async fn not_sent(&self) -> Cause {
        self.end.wait().await.clone().connection_lost()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The cause when the request was sent and got no response. The connection counts as lost only if the request may be repeated.
fn no_response(error: hyper::Error, repeatable: bool) -> Cause {
    let lost = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let cause = cause(error);
    match (lost || cause.is_connection_lost(), repeatable) {
        (true, true) => cause.connection_lost(),
        (_, false) => Cause::msg(cause.text()),
        (false, true) => cause,
    }
}

/// The cause when the head of the response was read but its body was not.
fn incomplete_body(error: Box<dyn Error + Send + Sync>, repeatable: bool) -> Cause {
    if error.is::<LengthLimitError>() {
        return Cause::msg(TOO_LARGE);
    }
    match error.downcast::<hyper::Error>() {
        Ok(error) => no_response(*error, repeatable),
        Err(error) => Cause::msg(error.to_string()),
    }
}

fn cause(error: hyper::Error) -> Cause {
    if is_tls_error(&error) {
        return net::cause(error);
    }
    if io_error(&error) == Some(io::ErrorKind::FileTooLarge) {
        return Cause::msg(TOO_LARGE);
    }
    let ended = io_error(&error) == Some(io::ErrorKind::UnexpectedEof);
    if ended || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        let closed = Cause::msg(CLOSED);
        return if ended { closed.connection_lost() } else { closed };
    }
    if error.is_parse() {
        return Cause::msg(format!("the answer is not HTTP/1.1: {error}"));
    }
    net::cause(error)
}

/// Whether the cause is a TLS error, which is more precise than the hyper error around it.
fn is_tls_error(error: &hyper::Error) -> bool {
    io_error(error) == Some(io::ErrorKind::InvalidData)
}

/// The kind of the I/O error among the sources of an error.
fn io_error(error: &hyper::Error) -> Option<io::ErrorKind> {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(error) = source.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        next = source.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_request_that_is_never_sent_ends_with_the_connection() {
        let (client, _server) = tokio::io::duplex(1024);
        let (sender, idle) = http1::handshake(TokioIo::new(client)).await.expect("a connection");
        let mut idle = pin!(idle);
        let end = Arc::new(SetOnce::new());
        let connection = Connection {
            sender: Mutex::new(sender),
            driver: tokio::spawn(async {}).abort_handle(),
            end: end.clone(),
            failed: AtomicBool::new(false),
            last_received: LastReceived::new(),
        };
        let request = Request::new(Bytes::new());
        let mut exchange = pin!(connection.exchange(request));
        poll_fn(|context| {
            // hyper accepts a request once its task has run.
            assert!(idle.as_mut().poll(context).is_pending());
            assert!(exchange.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        end.set(Cause::msg(CLOSED)).expect("set once");
        let cause = exchange.await.expect_err("no response");
        assert!(cause.is_connection_lost() && cause.text() == CLOSED, "{}", cause.text());
    }
}
