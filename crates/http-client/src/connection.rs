//! One connection: how it is opened, one exchange on it, and when it is over.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use probe::{Cause, Connect, Failure, Steps};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::SetOnce;
use tokio::task::AbortHandle;

use crate::{MAX_ANSWER, Repeatable};

/// The largest head of an answer, and the size of the buffer.
const MAX_HEAD: usize = 64 * 1024;

const CLOSED: &str = "the server closed the connection without a complete answer";

/// Opens connections to one server.
#[derive(Debug)]
pub(crate) struct Connector {
    host: String,
    port: u16,
    tls: Option<tls::Settings>,
}

impl Connector {
    pub(crate) fn new(host: &str, port: u16, tls: Option<tls::Settings>) -> Self {
        Self { host: host.to_owned(), port, tls }
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        // This tries every address that the name resolves to, and tells the last one's error.
        let stream = TcpStream::connect((bare, self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn secure(
        &self,
        stream: TcpStream,
        settings: &tls::Settings,
    ) -> Result<tls::TlsStream<TcpStream>, Cause> {
        let config = settings.client_config(tls::Verification::Full)?;
        tls::connect(config, &self.host, stream).await
    }
}

impl Connect for Connector {
    type Connection = Connection;

    async fn connect(&self, steps: &Steps) -> Result<Connection, Failure> {
        let stream = steps.run("connect", self.open()).await?;
        let connection = match &self.tls {
            None => Connection::over(stream).await,
            Some(tls) => {
                let stream = steps.run("tls", self.secure(stream, tls)).await?;
                Connection::over(stream).await
            }
        };
        connection.map_err(|error| Failure::new("connect", error))
    }

    fn is_closed(connection: &Connection) -> bool {
        connection.failed.load(Ordering::Relaxed) || connection.end.get().is_some()
    }
}

/// An open connection. Dropping it closes it, whatever it was doing.
pub(crate) struct Connection {
    sender: Mutex<SendRequest<Full<Bytes>>>,
    driver: AbortHandle,
    /// How the connection ended. A server may close it with a reason when nobody asks: a refused client certificate, for instance.
    end: Arc<SetOnce<Cause>>,
    /// Set when an exchange has failed: what comes next on the wire belongs to nobody.
    failed: AtomicBool,
}

impl Connection {
    async fn over<S>(stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await?;
        let end = Arc::new(SetOnce::new());
        let noted = end.clone();
        let driver = tokio::spawn(async move {
            let cause = connection.await.map_or_else(cause, |()| Cause::msg(CLOSED));
            // It is set here only.
            drop(noted.set(cause));
        });
        let (sender, driver) = (Mutex::new(sender), driver.abort_handle());
        Ok(Self { sender, driver, end, failed: AtomicBool::new(false) })
    }

    /// One request and its whole answer.
    pub(crate) async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cause> {
        let answer = self.try_exchange(request).await;
        if answer.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        answer
    }

    async fn try_exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Cause> {
        let repeatable =
            request.method().is_idempotent() || request.extensions().get::<Repeatable>().is_some();
        if poll_fn(|task| self.sender().poll_ready(task)).await.is_err() {
            return Err(self.not_sent().await);
        }
        let sent = self.sender().try_send_request(request.map(Full::new));
        let answer = match sent.await {
            Ok(answer) => answer,
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                let error = error.into_error();
                return Err(match unsent {
                    true if speaks_for_itself(&error) => cause(error).connection_lost(),
                    true => self.not_sent().await,
                    false => lost(error, repeatable),
                });
            }
        };
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| unread(error, repeatable))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }

    /// Why the connection was closed before the request went out.
    async fn not_sent(&self) -> Cause {
        self.end.wait().await.clone().connection_lost()
    }

    fn sender(&self) -> MutexGuard<'_, SendRequest<Full<Bytes>>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The request went out, and no answer came.
fn lost(error: hyper::Error, repeatable: bool) -> Cause {
    let lost = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let cause = cause(error);
    match (lost || cause.is_connection_lost(), repeatable) {
        (true, true) => cause.connection_lost(),
        (_, false) => Cause::msg(cause.text()),
        (false, true) => cause,
    }
}

/// The answer began, and could not be read to its end.
fn unread(error: Box<dyn Error + Send + Sync>, repeatable: bool) -> Cause {
    if error.is::<LengthLimitError>() {
        return Cause::msg(format!("the answer is larger than {} KiB", MAX_ANSWER / 1024));
    }
    match error.downcast::<hyper::Error>() {
        Ok(error) => lost(*error, repeatable),
        Err(error) => Cause::msg(error.to_string()),
    }
}

fn cause(error: hyper::Error) -> Cause {
    if speaks_for_itself(&error) {
        return tls::cause(error);
    }
    let ended = io_error(&error) == Some(io::ErrorKind::UnexpectedEof);
    if ended || error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        let closed = Cause::msg(CLOSED);
        return if ended { closed.connection_lost() } else { closed };
    }
    if error.is_parse() {
        return Cause::msg(format!("the answer is not HTTP/1.1: {error}"));
    }
    tls::cause(error)
}

/// Whether TLS broke down, with a reason: whatever hyper makes of it then matters less.
fn speaks_for_itself(error: &hyper::Error) -> bool {
    io_error(error) == Some(io::ErrorKind::InvalidData)
}

/// The kind of the I/O error among an error's sources.
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
