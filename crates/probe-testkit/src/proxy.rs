//! A TCP proxy that injects faults between a probe and a real server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Hostile;
use crate::relay::{End, Mode, Relay};

/// How long a test waits for an event before it fails.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A proxy on 127.0.0.1 between a probe and a real server.
///
/// It starts without a fault. A fault lasts until the next one or [`FaultProxy::heal`]. Dropping the proxy closes its port and its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    mode: watch::Sender<Mode>,
    end: watch::Sender<End>,
    counts: watch::Sender<Counts>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Keeps the port reserved while it is closed: bound for as long as the proxy lives, but never listening.
    _reserved: TcpSocket,
}

/// The traffic of a proxy so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted since the start.
    pub accepted: usize,
    /// Connections that clients hold open now.
    pub open: usize,
    /// Bytes received from clients since the start, forwarded or not.
    pub from_client: usize,
    /// Bytes forwarded to clients since the start.
    pub from_server: usize,
}

impl FaultProxy {
    /// Starts a proxy that forwards connections to `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        let reserved = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let proxy = Self {
            address: reserved.local_addr().expect("a bound socket has an address"),
            upstream,
            mode: watch::Sender::new(Mode::Pass),
            end: watch::Sender::new(End::default()),
            counts: watch::Sender::new(Counts::default()),
            accepting: Mutex::default(),
            _reserved: reserved,
        };
        proxy.heal();
        proxy
    }

    /// The address that the probe connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The traffic so far.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Forwards everything again, including the bytes that [`FaultProxy::swallow`] held back.
    pub fn heal(&self) {
        self.mode.send_replace(Mode::Pass);
        let mut accepting = self.accepting.lock();
        if accepting.is_none() {
            let listener = socket(self.address).listen(1024).expect("a bound port can be opened");
            *accepting = Some(tokio::spawn(accept(listener, self.relay())));
        }
    }

    /// Forwards everything `delay` later, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.mode.send_replace(Mode::Delay(delay));
    }

    /// Forwards nothing on a new connection for `delay`, like a slow look-up of its name. Later bytes are not delayed.
    pub fn delay_opening(&self, delay: Duration) {
        self.mode.send_replace(Mode::DelayOpening(delay));
    }

    /// Accepts connections and reads from clients, but forwards nothing, like a server that hangs.
    pub fn swallow(&self) {
        self.mode.send_replace(Mode::Swallow);
    }

    /// Forwards nothing on the connections that are open now, like a firewall that has dropped their state. New connections work.
    pub fn swallow_open(&self) {
        self.mode.send_replace(Mode::SwallowFirst(self.counts().accepted));
    }

    /// Closes each connection after it has forwarded `bytes` to its client.
    pub fn cut_after(&self, bytes: usize) {
        self.mode.send_replace(Mode::CutAfter(bytes));
    }

    /// Answers with `hostile` in place of the server's next answer on each connection.
    pub fn answer(&self, hostile: Hostile) {
        self.mode.send_replace(Mode::Answer(hostile));
    }

    /// Closes the port, so that connections are refused, and resets the existing ones.
    pub async fn refuse(&self) {
        let accepting = self.accepting.lock().take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // The listener is closed only once its task has ended.
            let _cancelled = accepting.await;
        }
        self.reset().await;
    }

    /// Resets every connection, like a server that is killed; new ones are accepted.
    pub async fn reset(&self) {
        self.end_all(true).await;
    }

    /// Closes every connection gracefully, like a server that is stopped; new ones are accepted.
    pub async fn close(&self) {
        self.end_all(false).await;
    }

    /// Waits until exactly `open` connections are open.
    pub async fn wait_for_open(&self, open: usize) -> Counts {
        self.wait_until(&format!("{open} open connections"), |counts| counts.open == open).await
    }

    /// Waits until the counts satisfy `wanted`; `what` describes them in the failure.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
        let reached = self.reaches(wanted).await;
        assert!(reached, "waited {TIMEOUT:?} for {what}, but there are {:?}", self.counts());
        self.counts()
    }

    /// Whether the counts satisfy `wanted` in time.
    pub(crate) async fn reaches(&self, wanted: impl Fn(&Counts) -> bool) -> bool {
        let mut counts = self.counts.subscribe();
        tokio::time::timeout(TIMEOUT, counts.wait_for(|counts| wanted(counts))).await.is_ok()
    }

    async fn end_all(&self, by_reset: bool) {
        let accepted_before = self.counts().accepted;
        self.end.send_modify(|end| *end = End { count: end.count + 1, by_reset });
        let mut ended = self.counts.subscribe();
        // Connections that are accepted meanwhile do not count.
        let all_closed = ended.wait_for(|counts| counts.open <= counts.accepted - accepted_before);
        // The sender lives as long as the proxy.
        let _counts = all_closed.await;
    }

    fn relay(&self) -> Relay {
        Relay {
            upstream: self.upstream,
            mode: self.mode.subscribe(),
            end: self.end.subscribe(),
            counts: self.counts.clone(),
        }
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        let accepting = self.accepting.lock().take();
        if let Some(accepting) = accepting {
            accepting.abort();
        }
    }
}

/// A socket on `address` that may share its port with the one that reserves it.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket can be created");
    socket.set_reuseport(true).expect("a port can be shared within the process");
    socket.bind(address).expect("127.0.0.1 has a free port");
    socket
}

async fn accept(listener: TcpListener, relay: Relay) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay.accept(client));
        }
    }
}
