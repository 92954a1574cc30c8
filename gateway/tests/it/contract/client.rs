//! A caller on a socket that sends exactly the given bytes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gateway::http::{self, ServerLimits};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fake_source::FakeSource;
use super::log;

/// How long an immediate event may take, which is much shorter than the default limits of a server.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// The path with the right token.
pub(super) const RIGHT: &str = "/api/health/right-token/";

/// A server on a port of its own.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(source: &FakeSource, limits: ServerLimits) -> Self {
        log::record();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let app = http::app(source.clone().into());
        let stopped = async { stopped.await.expect("the server is stopped or aborted") };
        let task = tokio::spawn(http::serve(listener, app, limits, Arc::default(), stopped));
        Self { address, stop: Some(stop), task }
    }

    /// Requests the shutdown of the server.
    pub(super) fn stop(&mut self) {
        self.stop.take().expect("it is stopped once").send(()).expect("it is running");
    }

    /// Waits until the server has ended.
    pub(super) async fn ended(&mut self) {
        soon(&mut self.task).await.expect("the server does not panic");
    }

    pub(super) async fn connect(&self) -> Caller {
        Caller::new(TcpStream::connect(self.address).await.expect("the server listens"))
    }

    /// Sends one request on a new connection, and returns the response.
    pub(super) async fn exchange(&self, request: impl AsRef<[u8]>) -> Response {
        let mut caller = self.connect().await;
        caller.send(request).await;
        caller.response().await
    }

    /// Asserts that the server responds.
    pub(super) async fn assert_serving(&self) {
        assert_eq!(self.exchange(get(RIGHT)).await.status, 200);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
pub(super) struct Caller {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl Caller {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream, read: Vec::new() }
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the server reads");
    }

    /// Returns the next response to a request that was not `HEAD`.
    pub(super) async fn response(&mut self) -> Response {
        self.next(true).await.expect("a response")
    }

    /// Returns the next response to a `HEAD`.
    pub(super) async fn response_without_body(&mut self) -> Response {
        self.next(false).await.expect("a response")
    }

    /// Waits until the server closes the connection. Returns the bytes that no response has consumed.
    pub(super) async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.read)
    }

    async fn next(&mut self, has_body: bool) -> Option<Response> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end;
            }
            if !self.more().await {
                return None;
            }
        };
        let head: Vec<_> = self.read.drain(..end + 4).take(end).collect();
        let mut response = Response::parse_head(&String::from_utf8(head).expect("a head is ASCII"));
        let length = response
            .headers
            .get("content-length")
            .map_or(0, |length| length.parse().expect("a number"));
        while has_body && self.read.len() < length {
            assert!(self.more().await, "the body ends early");
        }
        if has_body {
            response.body = String::from_utf8(self.read.drain(..length).collect()).expect("UTF-8");
        }
        Some(response)
    }

    /// Reads more bytes. Returns false at the end, which may be a reset.
    async fn more(&mut self) -> bool {
        soon(self.stream.read_buf(&mut self.read)).await.is_ok_and(|read| read > 0)
    }
}

/// A response of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Response {
    fn parse_head(head: &str) -> Self {
        let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = status.split(' ').nth(1).expect("a status").parse().expect("a number");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_owned(), value.to_owned())
        };
        let headers = headers.split("\r\n").filter(|line| !line.is_empty()).map(header).collect();
        Self { status, headers, body: String::new() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// A `GET` with only the necessary headers.
pub(super) fn get(target: &str) -> String {
    request("GET", target, &[])
}

/// A request with these headers besides the necessary ones.
pub(super) fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let line = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
    let lines: String = headers.iter().map(line).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: health\r\n{lines}\r\n")
}

/// Awaits a future that should complete within [`SOON`].
pub(super) async fn soon<F: Future>(future: F) -> F::Output {
    timeout(SOON, future).await.expect("it completes soon")
}
