//! The stream below the client library: it bounds what a server may send, and notices one that is no PostgreSQL.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// So much may a server send between two of our messages; an honest answer to ours has a few hundred bytes.
const MOST: usize = 256 * 1024;

/// Whatever bytes go through.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A stream that ends with an error when the server sends something else than it should.
pub(crate) struct Guarded {
    inner: Box<dyn Stream>,
    left: usize,
    greeted: bool,
}

impl Guarded {
    pub(crate) fn new(inner: Box<dyn Stream>) -> Self {
        Self { inner, left: MOST, greeted: false }
    }

    fn judge(&mut self, received: &[u8]) -> io::Result<()> {
        // The first answer is about authentication, an error, or the protocol's version.
        if let (false, Some(first)) = (self.greeted, received.first()) {
            self.greeted = true;
            if !matches!(first, b'R' | b'E' | b'v') {
                return Err(invalid("the server does not speak PostgreSQL's protocol"));
            }
        }
        self.left = self
            .left
            .checked_sub(received.len())
            .ok_or_else(|| invalid("the server's answer is too large"))?;
        Ok(())
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buffer))?;
        Poll::Ready(self.judge(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.left = MOST;
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
