//! One connection through the fault proxy, both directions.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::Counts;

/// What happens to the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Pass,
    Delay(Duration),
    Swallow,
    CutAfter(usize),
}

/// The last command to end connections; those that began before it obey.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) count: usize,
    pub(crate) by_reset: bool,
}

/// What every connection of one proxy needs.
pub(crate) struct Relay {
    pub(crate) upstream: SocketAddr,
    pub(crate) mode: watch::Receiver<Mode>,
    pub(crate) end: watch::Receiver<End>,
    pub(crate) counts: watch::Sender<Counts>,
}

impl Relay {
    /// Counts the connection at once; the returned future relays it until it ends.
    pub(crate) fn begin(&self, mut client: TcpStream) -> impl Future<Output = ()> + use<> {
        self.counts.send_modify(|counts| {
            counts.accepted += 1;
            counts.open += 1;
        });
        let open = Open(self.counts.clone());
        let (upstream, mode, mut end) = (self.upstream, self.mode.clone(), self.end.clone());
        end.mark_unchanged();
        async move {
            let by_reset = tokio::select! {
                by_reset = relay(&mut client, upstream, mode, &open.0) => by_reset,
                changed = end.changed() => changed.is_ok() && end.borrow().by_reset,
            };
            if by_reset {
                // A socket that is gone already needs no reset.
                let _gone = client.set_zero_linger();
            }
            drop(client);
            drop(open);
        }
    }
}

/// Counts a connection as open for as long as it lives.
struct Open(watch::Sender<Counts>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|counts| counts.open -= 1);
    }
}

/// Relays until one side ends; true if the client is to see a reset.
async fn relay(
    client: &mut TcpStream,
    upstream: SocketAddr,
    mode: watch::Receiver<Mode>,
    counts: &watch::Sender<Counts>,
) -> bool {
    let _only_slower = client.set_nodelay(true);
    let (from_client, to_client) = client.split();
    let mut questions = Questions { client: from_client, pending: Vec::new(), counts };
    let mut gate = Gate(mode);
    if !questions.hold(&mut gate).await {
        return false;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return true;
    };
    let _only_slower = server.set_nodelay(true);
    let (from_server, to_server) = server.split();
    tokio::select! {
        () = questions.hand_on(to_server, gate.clone()) => {}
        () = answers(from_server, to_client, gate, counts) => {}
    }
    false
}

/// What comes from the client, and what of it was not handed on yet.
struct Questions<'a> {
    client: ReadHalf<'a>,
    pending: Vec<u8>,
    counts: &'a watch::Sender<Counts>,
}

impl Questions<'_> {
    /// Hands questions on until the client hangs up.
    async fn hand_on(mut self, mut server: WriteHalf<'_>, mut gate: Gate) {
        loop {
            if self.pending.is_empty() && !self.read().await {
                return;
            }
            let goes_on = self.hold(&mut gate).await;
            let sent = server.write_all(&self.pending).await;
            if !goes_on || sent.is_err() {
                return;
            }
            self.pending.clear();
        }
    }

    /// Waits for the gate while it goes on reading, so that a client which hangs up meanwhile is seen: then it answers false.
    async fn hold(&mut self, gate: &mut Gate) -> bool {
        let opened = gate.open();
        tokio::pin!(opened);
        loop {
            tokio::select! {
                biased;
                () = &mut opened => return true,
                goes_on = self.read() => if !goes_on { return false },
            }
        }
    }

    async fn read(&mut self) -> bool {
        let Ok(read @ 1..) = self.client.read_buf(&mut self.pending).await else {
            return false;
        };
        self.counts.send_modify(|counts| counts.from_client += read);
        true
    }
}

/// Hands answers on until the server hangs up or the connection is to be cut.
async fn answers(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    mut gate: Gate,
    counts: &watch::Sender<Counts>,
) {
    let mut sent = 0;
    let mut chunk = Vec::new();
    loop {
        let room = gate.room(sent);
        if room == Some(0) {
            return;
        }
        chunk.clear();
        tokio::select! {
            read = server.read_buf(&mut chunk) => if !matches!(read, Ok(1..)) { return },
            () = gate.changed() => continue,
        }
        gate.open().await;
        chunk.truncate(gate.room(sent).unwrap_or(usize::MAX));
        if client.write_all(&chunk).await.is_err() {
            return;
        }
        sent += chunk.len();
        counts.send_modify(|counts| counts.from_server += chunk.len());
    }
}

/// Where bytes wait for as long as the mode says so.
#[derive(Clone)]
struct Gate(watch::Receiver<Mode>);

impl Gate {
    /// Waits until bytes may pass.
    async fn open(&mut self) {
        let now = Instant::now();
        loop {
            let mode = *self.0.borrow_and_update();
            match mode {
                Mode::Pass | Mode::CutAfter(_) => return,
                Mode::Delay(delay) => return sleep_until(now + delay).await,
                Mode::Swallow => self.changed().await,
            }
        }
    }

    /// How many bytes of answers may still pass on a connection that has `sent` some, if that is bounded.
    fn room(&self, sent: usize) -> Option<usize> {
        match *self.0.borrow() {
            Mode::CutAfter(bytes) => Some(bytes.saturating_sub(sent)),
            _ => None,
        }
    }

    async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The proxy is gone and is about to end this connection.
            std::future::pending::<()>().await;
        }
    }
}
