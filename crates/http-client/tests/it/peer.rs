//! A server scripted by a test, and a client for it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_client::Client;
use probe::config::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A complete response.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server on a free port.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    requests: AtomicUsize,
}

/// A connection to the peer.
pub(crate) struct Connection {
    stream: TcpStream,
    counts: Arc<Counts>,
}

impl Peer {
    /// Starts a server that handles each connection with `serve`. Connections are numbered from one.
    pub(crate) async fn start<F>(serve: impl Fn(usize, Connection) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let counts = Arc::<Counts>::default();
        let shared = counts.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::spawn(serve(number, Connection { stream, counts: shared.clone() }));
            }
        });
        Self { address, counts }
    }

    /// The number of connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// The number of requests so far.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

impl Connection {
    /// Reads the next request, which has no body. Returns `None` if the connection is closed.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        self.counts.requests.fetch_add(1, Ordering::SeqCst);
        String::from_utf8(head).ok()
    }

    /// Sends bytes of a response. Returns false if the client closed the connection.
    pub(crate) async fn respond(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }
}

/// Returns a client for the server at `address`.
pub(crate) fn client(address: SocketAddr) -> Client {
    let url = Url::parse(&format!("http://{address}")).expect("a URL");
    Client::new(&url, net::TlsSettings::default())
}
