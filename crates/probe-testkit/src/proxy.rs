//! A TCP proxy in front of a real server that breaks the way between a probe and its backend, exactly and on command.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::relay::{End, Mode, Relay};

/// How long an event may take before the test that waits for it fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stands between a probe and a real server, on a port of its own on 127.0.0.1.
///
/// It begins healthy. Every fault lasts until the next one or [`FaultProxy::heal`]; dropping the proxy ends everything.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    upstream: SocketAddr,
    mode: watch::Sender<Mode>,
    end: watch::Sender<End>,
    counts: watch::Sender<Counts>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    /// Bound for as long as the proxy lives but never listening, so that nobody else gets the port while it is closed.
    _reserved: TcpSocket,
}

/// What a proxy has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted since the beginning.
    pub accepted: usize,
    /// Connections that the client has open just now.
    pub open: usize,
    /// Bytes of questions that came in since the beginning, handed on or not.
    pub from_client: usize,
    /// Bytes of answers handed on since the beginning.
    pub from_server: usize,
}

impl FaultProxy {
    /// Begins to pass connections on to `upstream`.
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

    /// Where the probe connects to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has seen so far.
    pub fn counts(&self) -> Counts {
        *self.counts.borrow()
    }

    /// Passes everything on again, late answers included: what was held back by [`FaultProxy::swallow`] now arrives.
    pub fn heal(&self) {
        self.mode.send_replace(Mode::Pass);
        let mut accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        if accepting.is_none() {
            let listener = socket(self.address).listen(1024).expect("a bound port can be opened");
            *accepting = Some(tokio::spawn(accept(listener, self.relay())));
        }
    }

    /// Hands everything on `delay` later, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.mode.send_replace(Mode::Delay(delay));
    }

    /// Accepts connections and takes questions, but hands nothing on and answers nothing: a server that hangs.
    pub fn swallow(&self) {
        self.mode.send_replace(Mode::Swallow);
    }

    /// Ends each connection after `bytes` of answers, counted from the connection's beginning.
    pub fn cut_after(&self, bytes: usize) {
        self.mode.send_replace(Mode::CutAfter(bytes));
    }

    /// Closes the port, so that connections are refused, and resets those that exist.
    pub async fn refuse(&self) {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            // The listener is closed only when its task is gone.
            let _cancelled = accepting.await;
        }
        self.reset().await;
    }

    /// Resets every connection, as a server that dies does; new ones are accepted.
    pub async fn reset(&self) {
        self.end_all(true).await;
    }

    /// Closes every connection in good order, as a server that is stopped does; new ones are accepted.
    pub async fn close(&self) {
        self.end_all(false).await;
    }

    /// Waits until exactly `open` connections are open.
    pub async fn wait_for_open(&self, open: usize) -> Counts {
        self.wait_until(&format!("{open} open connections"), |counts| counts.open == open).await
    }

    /// Waits until the counts are as `wanted`; `what` describes them should that never be.
    pub async fn wait_until(&self, what: &str, wanted: impl Fn(&Counts) -> bool) -> Counts {
        let reached = self.reaches(wanted).await;
        assert!(reached, "waited {PATIENCE:?} for {what}, but there are {:?}", self.counts());
        self.counts()
    }

    /// Whether the counts become as `wanted` in good time.
    pub(crate) async fn reaches(&self, wanted: impl Fn(&Counts) -> bool) -> bool {
        let mut counts = self.counts.subscribe();
        tokio::time::timeout(PATIENCE, counts.wait_for(|counts| wanted(counts))).await.is_ok()
    }

    async fn end_all(&self, by_reset: bool) {
        let goal = self.counts().accepted;
        self.end.send_modify(|end| *end = End { count: end.count + 1, by_reset });
        let mut ended = self.counts.subscribe();
        // Whoever connects meanwhile is not meant.
        let all_gone = ended.wait_for(|counts| counts.open <= counts.accepted - goal);
        let _lives_as_long_as_the_proxy = all_gone.await;
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
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(accepting) = accepting {
            accepting.abort();
        }
    }
}

/// A socket on `address` that may share its port with the one that reserves it.
fn socket(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket can be made");
    socket.set_reuseport(true).expect("a port can be shared within the process");
    socket.bind(address).expect("127.0.0.1 has a free port");
    socket
}

async fn accept(listener: TcpListener, relay: Relay) {
    loop {
        if let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay.begin(client));
        }
    }
}
