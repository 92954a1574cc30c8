//! The gateway's own health and its metrics, on a second listener.
//!
//! The paths are `/livez`, `/readyz`, `/tasks`, `/version` and `/metrics`.
//!
//! It needs no token and runs no check.
//! Its requests come every few seconds, so they are not logged.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::{Frame, SizeHint};
use probe::Cause;
use serde_json::json;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use crate::http::{self as server, Arrival, ServerLimits};
use crate::metrics::{Exposition, Metrics};

/// How long [`healthcheck`] waits for a connection and for each part of the response, which depends on no backend.
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(2);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const DRAINING: &str = "draining: shutting down, finishing the requests in progress\n";

/// The limits of this listener, whose connections do not count towards those of the endpoint.
const LIMITS: ServerLimits = ServerLimits {
    max_connections: 8,
    max_waiting: 2,
    idle_grace: Duration::from_millis(250),
    first_head_grace: Duration::from_secs(2),
    stalled_grace: Duration::from_secs(5),
    header_timeout: Duration::from_secs(30),
    max_connection_age: Duration::from_mins(5),
    drain_timeout: Duration::ZERO,
};

/// Serves on a thread until the process ends, so that probes are answered while the endpoint drains.
///
/// The thread has its own runtime, so that neither a flood of the endpoint nor a check that blocks delays it.
/// The configuration must be loaded and the endpoint open, because `/readyz` reports both.
/// Until then, connections wait in the backlog.
/// `draining` is cancelled when the shutdown begins, `/tasks` reports the number of tasks in `workers`, and `/metrics` exposes `metrics`.
pub fn start(
    listener: TcpListener,
    draining: CancellationToken,
    workers: Handle,
    metrics: Metrics,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _entered = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let app = service_fn(move |request: Request<()>| {
        let state = State {
            draining: draining.is_cancelled(),
            tasks: workers.metrics().num_alive_tasks(),
            metrics: &metrics,
        };
        let response = respond(&request, &state);
        async { Ok::<_, Infallible>(response) }
    });
    let serve =
        move || runtime.block_on(server::serve(listener, app, LIMITS, Arc::default(), pending()));
    thread::Builder::new().name("admin".to_owned()).spawn(serve)?;
    Ok(())
}

/// Requests `/livez` from a gateway on this machine, or in this container. Returns a message if it does not serve.
///
/// `address` is the one that the gateway listens on.
pub fn healthcheck(address: SocketAddr) -> Result<(), String> {
    let address = reachable(address);
    let response = exchange(address).map_err(|error| match error.kind() {
        // A socket's timeout is either of these, depending on the system.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer from {address} within {} s", HEALTHCHECK_TIMEOUT.as_secs())
        }
        _ => format!("no answer from {address}: {}", Cause::from(error).text()),
    })?;
    match response.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => Err(format!("{address} answers /livez with {status}")),
        None => Err(format!("{address} does not speak HTTP")),
    }
}

/// Replaces an unspecified address, which includes the loopback interface but cannot be connected to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(own) if own.ip().is_unspecified() => {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        SocketAddr::V6(own) if own.ip().is_unspecified() => {
            address.set_ip(Ipv6Addr::LOCALHOST.into());
        }
        _ => {}
    }
    address
}

/// Returns the beginning of the response, which has the status. With HTTP/1.0, the connection ends after it.
fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HEALTHCHECK_TIMEOUT)?;
    stream.set_read_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    stream.set_write_timeout(Some(HEALTHCHECK_TIMEOUT))?;
    write!(stream, "GET /livez HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut response = Vec::new();
    stream.take(1024).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}

/// What is reported of the gateway.
struct State<'a> {
    draining: bool,
    /// The tasks that have not ended.
    tasks: usize,
    metrics: &'a Metrics,
}

/// A body in parts.
struct Body(VecDeque<Bytes>);

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self([text.into()].into())
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|part| part.len() as u64).sum())
    }
}

/// Responds to `HEAD` as to `GET`. The server leaves out the body.
fn respond(request: &Request<()>, state: &State<'_>) -> Response<Body> {
    let path = request.extensions().get().map_or("", |arrival: &Arrival| arrival.target.path());
    let known = ["/livez", "/readyz", "/tasks", "/version", "/metrics"].contains(&path);
    let allowed = matches!(*request.method(), Method::GET | Method::HEAD);
    if path == "/metrics" && allowed {
        let Exposition { content_type, parts } = state.metrics.expose(request.headers());
        return response(StatusCode::OK, content_type, Body(parts.into()));
    }
    let (status, content_type, text) = match path {
        _ if known && !allowed => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned())
        }
        "/livez" => (StatusCode::OK, TEXT, "working\n".to_owned()),
        "/readyz" if state.draining => (StatusCode::SERVICE_UNAVAILABLE, TEXT, DRAINING.to_owned()),
        "/readyz" => (StatusCode::OK, TEXT, "ready\n".to_owned()),
        "/tasks" => (StatusCode::OK, TEXT, format!("{}\n", state.tasks)),
        "/version" => {
            let version = json!({"name": "health-gateway", "version": env!("CARGO_PKG_VERSION")});
            (StatusCode::OK, JSON, version.to_string())
        }
        _ => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
    };
    response(status, HeaderValue::from_static(content_type), text.into())
}

fn response(status: StatusCode, content_type: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_listener_answers_while_the_workers_of_the_caller_are_blocked() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        start(listener, CancellationToken::new(), Handle::current(), Metrics::empty())
            .expect("a thread");
        // This blocks the only worker of the test.
        assert_eq!(healthcheck(address), Ok(()));
    }

    #[tokio::test]
    async fn connections_without_a_request_make_room() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        start(listener, CancellationToken::new(), Handle::current(), Metrics::empty())
            .expect("a thread");
        let idle: Vec<_> = (0..20).map(|_| TcpStream::connect(address)).collect();
        assert_eq!(healthcheck(address), Ok(()));
        drop(idle);
    }
}
