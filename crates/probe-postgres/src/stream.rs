//! A stream that limits the size of responses and detects other protocols.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use probe::LastReceived;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The largest number of received bytes between two writes of the client. A valid response has a few hundred.
const MAX_RESPONSE: usize = 256 * 1024;

/// A TCP, Unix or TLS stream.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A stream that fails if a response is too large or the server speaks another protocol.
pub(crate) struct LimitedStream {
    inner: Box<dyn Stream>,
    /// The number of bytes that the server may still send.
    remaining: usize,
    first_byte_seen: bool,
    last_received: LastReceived,
}

impl LimitedStream {
    pub(crate) fn new(inner: Box<dyn Stream>) -> Self {
        let last_received = LastReceived::new();
        Self { inner, remaining: MAX_RESPONSE, first_byte_seen: false, last_received }
    }

    /// When the server last sent something.
    pub(crate) fn last_received(&self) -> &LastReceived {
        &self.last_received
    }

    fn verify(&mut self, received: &[u8]) -> io::Result<()> {
        self.last_received.update();
        // `AuthenticationRequest`, `ErrorResponse` or `NegotiateProtocolVersion`.
        if let (false, Some(first)) = (self.first_byte_seen, received.first()) {
            self.first_byte_seen = true;
            if !matches!(first, b'R' | b'E' | b'v') {
                return Err(invalid("the server does not speak PostgreSQL's protocol"));
            }
        }
        self.remaining = self
            .remaining
            .checked_sub(received.len())
            .ok_or_else(|| invalid("the server's answer is too large"))?;
        Ok(())
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        Poll::Ready(self.verify(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.remaining = MAX_RESPONSE;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

fn invalid(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
