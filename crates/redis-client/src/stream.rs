//! The stream between server and client library, which bounds what the server may send.

use std::io;
use std::ops::Range;
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
    end: Mutex<Option<End>>,
    /// The number of commands that were sent, or more if some were dropped before.
    commands: AtomicU64,
    last_received: LastReceived,
}

/// Why a stream ended.
#[derive(Debug)]
struct End {
    cause: Cause,
    /// The number of the reply that is the cause, if one alone is.
    reply: Option<u64>,
}

impl StreamState {
    /// Why the stream ended, or `None` if it has not ended.
    pub(crate) fn end(&self) -> Option<Cause> {
        self.end.lock().as_ref().map(|end| end.cause.clone())
    }

    /// Why the stream ended for a caller that waited for these replies. If another caller's reply is the cause, the connection was lost.
    pub(crate) fn end_for(&self, replies: &Range<u64>) -> Cause {
        match &*self.end.lock() {
            Some(End { cause, reply }) if reply.is_none_or(|reply| replies.contains(&reply)) => {
                cause.clone()
            }
            _ => error::closed(),
        }
    }

    /// Allows the server to send this many more replies, and returns their numbers.
    pub(crate) fn expect_replies(&self, count: u64) -> Range<u64> {
        let first = self.commands.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    /// When the server last sent something.
    pub(crate) fn last_received(&self) -> &LastReceived {
        &self.last_received
    }

    fn set_end(&self, end: End) {
        self.end.lock().get_or_insert(end);
    }
}

impl BoundedStream {
    pub(crate) fn new(stream: net::Stream) -> (Self, Arc<StreamState>) {
        let shared = Arc::<StreamState>::default();
        let scanner = Scanner::default();
        (Self { stream, scanner, shared: shared.clone(), written: false, reader: None }, shared)
    }

    fn scan(&mut self, bytes: &[u8]) -> Result<(), End> {
        let of_all = |cause| End { cause, reply: None };
        if bytes.is_empty() {
            return Err(of_all(error::closed()));
        }
        self.shared.last_received.update();
        if let Err(violation) = self.scanner.scan(bytes) {
            // The replies before it are complete.
            let of_one = |cause| End { cause, reply: Some(self.scanner.replies()) };
            return Err(match violation {
                Violation::TooLarge => of_one(Cause::msg("the server's answer is too large")),
                Violation::TooDeep => {
                    of_one(Cause::msg("the server's answer is nested too deeply"))
                }
                Violation::NotRedis => of_all(error::not_redis()),
            });
        }
        if self.scanner.replies() > self.shared.commands.load(Ordering::Relaxed) {
            return Err(of_all(Cause::msg("the server sent an answer without a command")));
        }
        Ok(())
    }

    /// Records why the stream ended, and returns the error for the client library.
    fn fail(&self, end: End) -> io::Error {
        self.shared.set_end(end);
        io::ErrorKind::InvalidData.into()
    }

    fn record<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            let cause = net::cause(error).connection_lost();
            self.shared.set_end(End { cause, reply: None });
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
        if let Err(end) = this.scan(&buffer.filled()[before..]) {
            buffer.set_filled(before);
            return Poll::Ready(Err(this.fail(end)));
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
