//! An encrypted connection that still tells why the server refused us when it is found reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client;

/// A connection after its handshake.
///
/// A server that refuses our certificate says so and hangs up, which may come before we have written anything. Writing then fails with a reset, though the reason lies there to be read; it is given in place of the reset.
#[derive(Debug)]
pub struct TlsStream<S> {
    inner: client::TlsStream<S>,
    /// Why writing failed, while we look for the server's reason.
    reset: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(crate) fn new(inner: client::TlsStream<S>) -> Self {
        Self { inner, reset: None }
    }

    /// Writes by `write`; if that finds the connection reset, its error is the server's reason if there is one.
    fn write<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut client::TlsStream<S>>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.reset.is_none() {
            match write(Pin::new(&mut self.inner), context) {
                Poll::Ready(Err(error)) if is_reset(&error) => self.reset = Some(error),
                other => return other,
            }
        }
        let reason = ready!(self.reason(context));
        let error = reason.or_else(|| self.reset.take());
        Poll::Ready(Err(error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }

    /// The server's last word on a connection that was reset: the runtime may not have heard yet that it has arrived, but it will.
    fn reason(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Error>> {
        let (stream, session) = self.inner.get_mut();
        loop {
            let mut arrived = Arrived { stream: &mut *stream, context: &mut *context };
            match session.read_tls(&mut arrived) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                // That was all: the connection is at its end.
                Ok(0) | Err(_) => return Poll::Ready(None),
            }
            if let Err(reason) = session.process_new_packets() {
                let reason = io::Error::new(io::ErrorKind::InvalidData, reason);
                return Poll::Ready(Some(reason));
            }
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// What can be read from the stream without waiting.
struct Arrived<'a, 'b, S> {
    stream: &'a mut S,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> io::Read for Arrived<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.stream).poll_read(self.context, &mut buffer) {
            Poll::Ready(done) => done.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |inner, context| inner.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |inner, context| inner.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
