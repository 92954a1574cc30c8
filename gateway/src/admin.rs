//! The gateway's own health, on a listener of its own: whether this process serves, whatever its backends do.
//!
//! It knows no token and tells no report, and what supervises the process asks every few seconds, so its requests are not logged.

use std::convert::Infallible;
use std::future::pending;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use probe::Cause;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::service_fn;

use crate::http::{self as server, Limits, Peer};

/// How long [`ask`] waits for a connection and for each part of the answer; whoever answers for himself needs no backend for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const DRAINING: &str = "draining: asked to end, finishing the answers under way\n";

/// Answers for ever, so that there is an answer until the process ends; `draining` is cancelled once it has been asked to end.
///
/// Whoever calls this has loaded the configuration and opened the endpoint: until then callers wait in the backlog.
pub async fn serve(listener: TcpListener, draining: CancellationToken) {
    let app = service_fn(move |request: Request<Peer>| {
        let answer = answer(request.method(), request.uri().path(), draining.is_cancelled());
        async { Ok::<_, Infallible>(answer) }
    });
    server::serve(listener, app, Limits::default(), pending()).await;
}

/// Asks a gateway that runs on this machine, or in this container, whether it serves, and says why not.
///
/// `address` is the one that it was told to listen on.
pub fn ask(address: SocketAddr) -> Result<(), String> {
    let address = reachable(address);
    let answer = exchange(address).map_err(|error| match error.kind() {
        // How the system names the end of a wait.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer from {address} within {} s", ANSWER_WITHIN.as_secs())
        }
        _ => format!("no answer from {address}: {}", Cause::from(error).text()),
    })?;
    match answer.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some(status) => Err(format!("{address} answers /livez with {status}")),
        None => Err(format!("{address} does not speak HTTP")),
    }
}

/// Whoever listens on all addresses listens on the loopback interface as well.
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

/// HTTP/1.0, so that the answer ends where the connection does; its status is in the first few bytes.
fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    write!(stream, "GET /livez HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Answers `HEAD` like `GET`; the server leaves out the body.
fn answer(method: &Method, path: &str, draining: bool) -> Response<Full<Bytes>> {
    let known = ["/livez", "/readyz", "/version"].contains(&path);
    let allowed = matches!(*method, Method::GET | Method::HEAD);
    let (status, kind, text) = match path {
        _ if known && !allowed => {
            (StatusCode::METHOD_NOT_ALLOWED, TEXT, "method not allowed\n".to_owned())
        }
        "/livez" => (StatusCode::OK, TEXT, "working\n".to_owned()),
        "/readyz" if draining => (StatusCode::SERVICE_UNAVAILABLE, TEXT, DRAINING.to_owned()),
        "/readyz" => (StatusCode::OK, TEXT, "ready\n".to_owned()),
        "/version" => {
            let version = json!({"name": "health-gateway", "version": env!("CARGO_PKG_VERSION")});
            (StatusCode::OK, JSON, version.to_string())
        }
        _ => (StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}
