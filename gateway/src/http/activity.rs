//! Tracks the activity of a connection, and whether it may be closed for another.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use super::ServerLimits;

/// The state of one connection, shared by its task and the [`super::connection_table`].
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    evicted: CancellationToken,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    since: Instant,
    /// Since when the socket accepts no more bytes, because the peer reads none.
    stalled_since: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The head of the first request has not arrived.
    FirstHead,
    /// A request is being answered.
    Answering,
    /// The response is ready, and the rest of the request's body is awaited.
    Draining,
    /// The response is being written.
    Writing,
    /// The response is written, and no further request has arrived.
    Idle,
}

impl State {
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        // The others may take any time.
        if matches!(phase, Phase::Draining | Phase::Idle) {
            self.since = Instant::now();
        }
    }
}

impl Activity {
    pub(super) fn new() -> Self {
        let state = State { phase: Phase::FirstHead, since: Instant::now(), stalled_since: None };
        Self { state: Mutex::new(state), evicted: CancellationToken::new() }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.state.lock().enter(phase);
    }

    /// Whether the connection may be closed for another. `is_crowding` means that its address has its full share of the places.
    pub(super) fn is_evictable(&self, limits: &ServerLimits, is_crowding: bool) -> bool {
        let state = self.state.lock();
        let stalled_grace = if is_crowding { limits.idle_grace } else { limits.stalled_grace };
        if state.stalled_since.is_some_and(|since| since.elapsed() >= stalled_grace) {
            return true;
        }
        let grace = match state.phase {
            Phase::FirstHead if !is_crowding => limits.first_head_grace,
            Phase::FirstHead | Phase::Draining | Phase::Idle => limits.idle_grace,
            Phase::Answering | Phase::Writing => return false,
        };
        state.since.elapsed() >= grace
    }

    /// Waits until the head of a request has been awaited for `timeout`, which includes the idle time before it.
    pub(super) async fn head_overdue(&self, timeout: Duration) {
        while let Some(left) = self.time_left_for_head(timeout) {
            sleep(left).await;
        }
    }

    /// How long the head of a request may take from now on, or, while a response is in progress, how long the next one may take at least.
    fn time_left_for_head(&self, timeout: Duration) -> Option<Duration> {
        let state = self.state.lock();
        match state.phase {
            Phase::FirstHead | Phase::Idle => {
                timeout.checked_sub(state.since.elapsed()).filter(|left| !left.is_zero())
            }
            Phase::Answering | Phase::Draining | Phase::Writing => Some(timeout),
        }
    }

    pub(super) fn evict(&self) {
        self.evicted.cancel();
    }

    pub(super) fn is_evicted(&self) -> bool {
        self.evicted.is_cancelled()
    }

    /// Waits until the connection has to make room.
    pub(super) fn evicted(&self) -> WaitForCancellationFuture<'_> {
        self.evicted.cancelled()
    }
}

/// A stream that records in its [`Activity`] whether the peer reads.
pub(super) struct TrackedStream {
    inner: TokioIo<TcpStream>,
    activity: Arc<Activity>,
}

impl TrackedStream {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { inner: TokioIo::new(stream), activity }
    }
}

impl Read for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl Write for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        let mut state = self.activity.state.lock();
        match written {
            Poll::Pending => drop(state.stalled_since.get_or_insert_with(Instant::now)),
            Poll::Ready(_) => state.stalled_since = None,
        }
        written
    }

    /// hyper flushes once nothing is left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.activity.state.lock();
        if state.phase == Phase::Writing {
            state.enter(Phase::Idle);
        }
        drop(state);
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
