//! A server that does exactly what a test says, and a client of it.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_client::Client;
use probe::config::{Diagnostics, Fields, Node, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A complete answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A server on a port of its own.
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
    /// Serves each connection with `serve`, which also gets its number, counted from one.
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

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }
}

impl Connection {
    /// The next request, which has no body; `None` at the connection's end.
    pub(crate) async fn request(&mut self) -> Option<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.ok()?);
        }
        self.counts.requests.fetch_add(1, Ordering::SeqCst);
        String::from_utf8(head).ok()
    }

    /// Sends some bytes of an answer; false if the client is gone.
    pub(crate) async fn answer(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }
}

/// A client of the server at `address`, with the default settings for TLS.
pub(crate) fn client(address: SocketAddr) -> Client {
    let (node, diagnostics) = (Node::parse("").expect("no settings"), Diagnostics::default());
    let tls = tls::Settings::read(&mut Fields::new(String::new(), &node, &diagnostics));
    let url = Url::parse(&format!("http://{address}")).expect("a URL");
    Client::new(&url, tls.expect("none is needed"))
}
