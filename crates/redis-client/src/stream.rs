//! The stream between server and client library, which bounds what the server may send.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use parking_lot::Mutex;
use probe::{Cause, LastReceived};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::error;
use crate::scanner::{Scanner, Violation};

/// A stream that ends with an error once the server sends more than the protocol and the limits allow.
pub(crate) struct BoundedStream {
    stream: net::Stream,
    scanner: Scanner,
    shared: Arc<StreamState>,
    /// Whether the first command has been written.
    written: bool,
    /// The reader that waits for the first command to be written.
    reader: Option<Waker>,
}

/// What the user of a stream shares with it.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Why the stream ended, which the client library does not report to all of its callers.
    end: Mutex<Option<Cause>>,
    /// The number of commands that were sent, or more if some were dropped before.
    commands: AtomicU64,
    last_received: LastReceived,
}

impl StreamState {
    /// Why the stream ended, or `None` if it has not ended.
    pub(crate) fn end(&self) -> Option<Cause> {
        self.end.lock().clone()
    }

    /// Allows the server to send this many more replies.
    pub(crate) fn expect_replies(&self, count: u64) {
        self.commands.fetch_add(count, Ordering::Relaxed);
    }

    /// When the server last sent something.
    pub(crate) fn last_received(&self) -> &LastReceived {
        &self.last_received
    }

    fn set_end(&self, cause: Cause) {
        self.end.lock().get_or_insert(cause);
    }
}

impl BoundedStream {
    pub(crate) fn new(stream: net::Stream) -> (Self, Arc<StreamState>) {
        let shared = Arc::<StreamState>::default();
        let scanner = Scanner::default();
        (Self { stream, scanner, shared: shared.clone(), written: false, reader: None }, shared)
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<(), Cause> {
        if bytes.is_empty() {
            return Err(error::closed());
        }
        self.shared.last_received.update();
        self.scanner.scan(bytes).map_err(|violation| match violation {
            Violation::TooLarge => Cause::msg("the server's answer is too large"),
            Violation::TooDeep => Cause::msg("the server's answer is nested too deeply"),
            Violation::NotRedis => error::not_redis(),
        })?;
        if self.scanner.replies() > self.shared.commands.load(Ordering::Relaxed) {
            return Err(Cause::msg("the server sent an answer without a command"));
        }
        Ok(())
    }

    /// Records why the stream ended, and returns the error for the client library.
    fn fail(&self, cause: Cause) -> io::Error {
        self.shared.set_end(cause);
        io::ErrorKind::InvalidData.into()
    }

    fn record<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            self.shared.set_end(net::cause(error).connection_lost());
            kind.into()
        })
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A server at its client limit replies before the first command. The library would drop a reply to no command.
        if !this.written {
            this.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut this.stream).poll_read(context, buffer));
        this.record(result)?;
        if let Err(cause) = this.scan(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            return Poll::Ready(Err(this.fail(cause)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.stream).poll_write(context, bytes));
        this.written = true;
        if let Some(reader) = this.reader.take() {
            reader.wake();
        }
        Poll::Ready(this.record(result))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.stream).poll_flush(context));
        Poll::Ready(this.record(result))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
