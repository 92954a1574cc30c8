//! A stream that records when the server last sent something, and limits the size of an answer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use probe::LastReceived;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{MAX_BODY, TOO_LARGE};

/// The most bytes that a server may send for one request: interim responses, of which hyper reads any number, the head, and the body with the overhead of its chunks.
const MAX_ANSWER: usize = 2 * MAX_BODY;

/// A connection to a server, with the time of its last byte.
pub(crate) struct WatchedStream {
    inner: net::Stream,
    last_received: LastReceived,
    /// The number of bytes since something was last sent to the server.
    received: usize,
}

impl WatchedStream {
    pub(crate) fn new(inner: net::Stream) -> (Self, LastReceived) {
        let last_received = LastReceived::new();
        (Self { inner, last_received: last_received.clone(), received: 0 }, last_received)
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        // The end of the stream is no byte.
        let received = buffer.filled().len() - before;
        if received > 0 {
            self.last_received.update();
        }
        self.received += received;
        if self.received > MAX_ANSWER {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, TOO_LARGE)));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.received = 0;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, buffers))?;
        self.received = 0;
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_end_of_a_stream_is_nothing_received() {
        let (ours, mut server) = UnixStream::pair().expect("a pair of sockets");
        let (mut stream, last_received) = WatchedStream::new(net::Stream::Unix(ours));
        let begun = Instant::now();
        server.write_all(b"x").await.expect("a byte is written");
        assert_eq!(stream.read_u8().await.expect("a byte"), b'x');
        assert!(last_received.is_after(begun));
        let since = Instant::now() + Duration::from_nanos(1);
        drop(server);
        assert_eq!(stream.read(&mut [0]).await.expect("the end"), 0);
        assert!(!last_received.is_after(since));
    }
}
