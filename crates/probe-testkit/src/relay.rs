//! Relays one connection through the fault proxy, in both directions.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Counts, Hostile};

/// The size of one write of an endless answer.
const FLOOD: usize = 64 * 1024;

/// What the proxy does with the bytes.
#[derive(Clone, Debug)]
pub(crate) enum Mode {
    Pass,
    Delay(Duration),
    DelayOpening(Duration),
    Swallow,
    /// Swallows the bytes of this many connections, the oldest ones.
    SwallowFirst(usize),
    CutAfter(usize),
    Answer(Hostile),
}

/// The last command to end connections; it applies to those that were accepted before it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) count: usize,
    pub(crate) by_reset: bool,
}

/// What all connections of one proxy share.
pub(crate) struct Relay {
    pub(crate) upstream: SocketAddr,
    pub(crate) mode: watch::Receiver<Mode>,
    pub(crate) end: watch::Receiver<End>,
    pub(crate) counts: watch::Sender<Counts>,
}

impl Relay {
    /// Counts the connection immediately; the returned future relays it until it ends.
    pub(crate) fn accept(&self, mut client: TcpStream) -> impl Future<Output = ()> + use<> {
        let mut number = 0;
        self.counts.send_modify(|counts| {
            counts.accepted += 1;
            counts.open += 1;
            number = counts.accepted;
        });
        let open = Open(self.counts.clone());
        let (upstream, mut end) = (self.upstream, self.end.clone());
        let modes = ModeReceiver { mode: self.mode.clone(), number };
        end.mark_unchanged();
        async move {
            let by_reset = tokio::select! {
                by_reset = relay(&mut client, upstream, modes, &open.0) => by_reset,
                changed = end.changed() => changed.is_ok() && end.borrow().by_reset,
            };
            if by_reset {
                // A socket that is closed already needs no reset.
                let _closed = client.set_zero_linger();
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

/// Relays until one side closes the connection; returns whether to reset the client's side.
async fn relay(
    client: &mut TcpStream,
    upstream: SocketAddr,
    mut modes: ModeReceiver,
    counts: &watch::Sender<Counts>,
) -> bool {
    let _slower = client.set_nodelay(true);
    let mode = modes.mode.borrow().clone();
    if let Mode::DelayOpening(delay) = mode {
        sleep(delay).await;
    }
    let (from_client, to_client) = client.split();
    let mut requests = Requests { client: from_client, pending: Vec::new(), counts };
    if !requests.hold(&mut modes).await {
        return false;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return true;
    };
    let _slower = server.set_nodelay(true);
    let (from_server, to_server) = server.split();
    tokio::select! {
        () = requests.forward(to_server, modes.clone()) => {}
        () = forward_responses(from_server, to_client, modes, counts) => {}
    }
    false
}

/// The bytes from the client, with those that have not been forwarded yet.
struct Requests<'a> {
    client: ReadHalf<'a>,
    pending: Vec<u8>,
    counts: &'a watch::Sender<Counts>,
}

impl Requests<'_> {
    /// Forwards until the client closes the connection.
    async fn forward(mut self, mut server: WriteHalf<'_>, mut modes: ModeReceiver) {
        loop {
            if self.pending.is_empty() && !self.read().await {
                return;
            }
            let is_open = self.hold(&mut modes).await;
            let sent = server.write_all(&self.pending).await;
            if !is_open || sent.is_err() {
                return;
            }
            self.pending.clear();
        }
    }

    /// Waits until the mode lets data pass; returns `false` as soon as the client closes the connection, which reading detects.
    async fn hold(&mut self, modes: &mut ModeReceiver) -> bool {
        let opened = modes.open();
        tokio::pin!(opened);
        loop {
            tokio::select! {
                biased;
                () = &mut opened => return true,
                is_open = self.read() => if !is_open { return false },
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

/// Forwards until the server closes the connection or the mode cuts it.
async fn forward_responses(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    mut modes: ModeReceiver,
    counts: &watch::Sender<Counts>,
) {
    let mut sent = 0;
    let mut chunk = Vec::new();
    loop {
        let room = modes.room(sent);
        if room == Some(0) {
            return;
        }
        chunk.clear();
        tokio::select! {
            read = server.read_buf(&mut chunk) => if !matches!(read, Ok(1..)) { return },
            () = modes.changed() => continue,
        }
        modes.open().await;
        if let Some(hostile) = modes.hostile() {
            // A connection with a hostile answer is closed when the fault ends.
            return tokio::select! {
                () = answer(hostile, chunk, server, client) => {}
                () = modes.changed() => {}
            };
        }
        chunk.truncate(modes.room(sent).unwrap_or(usize::MAX));
        if client.write_all(&chunk).await.is_err() {
            return;
        }
        sent += chunk.len();
        counts.send_modify(|counts| counts.from_server += chunk.len());
    }
}

/// Sends the hostile answer in place of the server's, of which `answer` is the beginning, until the client closes the connection.
async fn answer(
    hostile: Hostile,
    mut answer: Vec<u8>,
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
) {
    let Some(passed) = passed(&hostile, &mut answer, &mut server).await else { return };
    let start = [&answer[..passed], &hostile.start].concat();
    let mut sent = client.write_all(&start).await;
    if hostile.endless.is_empty() {
        // The client's side of the relay notices the end of the connection.
        return std::future::pending().await;
    }
    let endless = hostile.endless.repeat(FLOOD.div_ceil(hostile.endless.len()));
    while sent.is_ok() {
        sent = client.write_all(&endless).await;
    }
}

/// Reads the server's answer up to the marker of the hostile one. Returns the length to pass on, or `None` if the answer ends before.
async fn passed(
    hostile: &Hostile,
    answer: &mut Vec<u8>,
    server: &mut ReadHalf<'_>,
) -> Option<usize> {
    let marker = hostile.after;
    loop {
        if marker.is_empty() {
            return Some(0);
        }
        if let Some(start) = answer.windows(marker.len()).position(|window| window == marker) {
            return Some(start + marker.len());
        }
        if !matches!(server.read_buf(answer).await, Ok(1..)) {
            return None;
        }
    }
}

/// Holds bytes back for as long as the mode requires.
#[derive(Clone)]
struct ModeReceiver {
    mode: watch::Receiver<Mode>,
    /// The number of the connection.
    number: usize,
}

impl ModeReceiver {
    /// Waits until bytes may pass.
    async fn open(&mut self) {
        let now = Instant::now();
        loop {
            let mode = self.mode.borrow_and_update().clone();
            match mode {
                Mode::Pass | Mode::DelayOpening(_) | Mode::CutAfter(_) | Mode::Answer(_) => return,
                Mode::Delay(delay) => return sleep_until(now + delay).await,
                Mode::SwallowFirst(count) if self.number > count => return,
                Mode::Swallow | Mode::SwallowFirst(_) => self.changed().await,
            }
        }
    }

    /// The number of bytes that may still be forwarded on a connection that has forwarded `sent`, if it is bounded.
    fn room(&self, sent: usize) -> Option<usize> {
        match *self.mode.borrow() {
            Mode::CutAfter(bytes) => Some(bytes.saturating_sub(sent)),
            _ => None,
        }
    }

    /// The hostile answer, if the mode demands one.
    fn hostile(&self) -> Option<Hostile> {
        match &*self.mode.borrow() {
            Mode::Answer(hostile) => Some(hostile.clone()),
            _ => None,
        }
    }

    async fn changed(&mut self) {
        if self.mode.changed().await.is_err() {
            // The proxy has been dropped, which ends this connection.
            std::future::pending::<()>().await;
        }
    }
}
