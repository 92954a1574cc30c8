//! A proxy that records requests and holds some of them back from a real server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

/// Longer than any request takes to arrive.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the proxy does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Pass,
    /// Forwards it after the release, even if the client has disconnected by then.
    Hold,
    /// The same, and sends a response with the status 503 at once.
    Refuse,
}

/// A proxy between the check and a server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    heads: watch::Sender<Vec<String>>,
    released: watch::Sender<bool>,
    open: watch::Sender<usize>,
}

type Rule = Arc<Mutex<dyn FnMut(&str) -> Action + Send>>;

impl Proxy {
    /// `rule` decides by the head of a request.
    pub(crate) async fn start(
        upstream: SocketAddr,
        rule: impl FnMut(&str) -> Action + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap(),
            heads: watch::Sender::default(),
            released: watch::Sender::default(),
            open: watch::Sender::default(),
        };
        let (heads, released, open) =
            (proxy.heads.clone(), proxy.released.clone(), proxy.open.clone());
        let rule: Rule = Arc::new(Mutex::new(rule));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (heads, released, rule) = (heads.clone(), released.subscribe(), rule.clone());
                let open = open.clone();
                open.send_modify(|open| *open += 1);
                tokio::spawn(async move {
                    relay(&mut client, upstream, &heads, released, rule).await;
                    drop(client);
                    open.send_modify(|open| *open -= 1);
                });
            }
        });
        proxy
    }

    /// The heads of the requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.borrow().clone()
    }

    /// The number of requests so far with a head that begins like this.
    pub(crate) fn count(&self, beginning: &str) -> usize {
        self.heads.borrow().iter().filter(|head| head.starts_with(beginning)).count()
    }

    /// Waits for a request with a head that begins like this.
    pub(crate) async fn wait_for(&self, beginning: &str) {
        let mut heads = self.heads.subscribe();
        let arrived = heads.wait_for(|heads| heads.iter().any(|head| head.starts_with(beginning)));
        timeout(TIMEOUT, arrived).await.unwrap().unwrap();
    }

    /// Waits until this number of connections is open.
    pub(crate) async fn wait_for_open(&self, count: usize) {
        let mut open = self.open.subscribe();
        timeout(TIMEOUT, open.wait_for(|open| *open == count)).await.unwrap().unwrap();
    }

    /// Forwards the requests that are held back.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }
}

async fn relay(
    client: &mut TcpStream,
    upstream: SocketAddr,
    heads: &watch::Sender<Vec<String>>,
    mut released: watch::Receiver<bool>,
    rule: Rule,
) {
    let (from_client, mut to_client) = client.split();
    let mut from_client = BufReader::new(from_client);
    let mut server = TcpStream::connect(upstream).await.unwrap();
    let (mut from_server, mut to_server) = server.split();
    while let Some((head, request)) = read_request(&mut from_client).await {
        let action = (*rule.lock())(&head);
        heads.send_modify(|heads| heads.push(head));
        match action {
            Action::Pass => {}
            Action::Hold => drop(released.wait_for(|released| *released).await.unwrap()),
            Action::Refuse => {
                tokio::spawn(send_when_released(upstream, request, released.clone()));
                let unavailable = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
                to_client.write_all(unavailable).await.unwrap();
                continue;
            }
        }
        to_server.write_all(&request).await.unwrap();
        if !forward_response(&mut from_server, &mut to_client, &mut from_client).await {
            return;
        }
    }
}

/// Sends a request without its client.
async fn send_when_released(
    upstream: SocketAddr,
    request: Vec<u8>,
    mut released: watch::Receiver<bool>,
) {
    drop(released.wait_for(|released| *released).await.unwrap());
    let mut server = TcpStream::connect(upstream).await.unwrap();
    server.write_all(&request).await.unwrap();
    // The end of the connection would cancel the request.
    let _length = server.read_to_end(&mut Vec::new()).await;
}

/// The head of the next request, and all of its bytes.
async fn read_request(client: &mut BufReader<ReadHalf<'_>>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if client.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).await.ok()?;
    let request = [head.as_bytes(), &body].concat();
    Some((head, request))
}

/// Forwards what the server sends until the client's next request. Returns false if one of them has closed the connection.
async fn forward_response(
    server: &mut ReadHalf<'_>,
    to_client: &mut WriteHalf<'_>,
    from_client: &mut BufReader<ReadHalf<'_>>,
) -> bool {
    let mut response = Vec::new();
    loop {
        tokio::select! {
            read = server.read_buf(&mut response) => {
                if !matches!(read, Ok(1..)) || to_client.write_all(&response).await.is_err() {
                    return false;
                }
                response.clear();
            }
            next = from_client.fill_buf() => return next.is_ok_and(|bytes| !bytes.is_empty()),
        }
    }
}
