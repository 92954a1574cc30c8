//! A TLS stream that reports the server's alert instead of a reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client;

use super::server_end_point::server_end_point;

/// A connection after its TLS handshake.
///
/// A server that refuses the client certificate sends an alert and closes the connection.
/// If the next write fails with a reset, the alert can still be read, and is returned as the error of the write.
#[derive(Debug)]
pub struct TlsStream<S> {
    inner: client::TlsStream<S>,
    /// The error of a failed write, while the alert is read.
    reset: Option<io::Error>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    pub(crate) fn new(inner: client::TlsStream<S>) -> Self {
        Self { inner, reset: None }
    }

    /// The protocol that the server selected by ALPN.
    pub fn protocol(&self) -> Option<&[u8]> {
        self.inner.get_ref().1.alpn_protocol()
    }

    /// The channel binding `tls-server-end-point`, or `None` if it is not defined for the server's certificate.
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        let (_, session) = self.inner.get_ref();
        server_end_point(session.peer_certificates()?.first()?)
    }

    /// Calls `write`. If the connection was reset, the error is the server's alert, provided that it sent one.
    fn write_or_alert<T>(
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
        let alert = ready!(self.read_alert(context));
        let error = alert.or_else(|| self.reset.take());
        Poll::Ready(Err(error.unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())))
    }

    /// Reads a reset connection to its end, and returns the alert if there is one.
    ///
    /// The read is pending if the runtime has not yet been notified that the connection is readable.
    fn read_alert(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Error>> {
        let (stream, session) = self.inner.get_mut();
        loop {
            let mut reader = NonBlockingReader { stream: &mut *stream, context: &mut *context };
            match session.read_tls(&mut reader) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Ok(0) | Err(_) => return Poll::Ready(None),
            }
            if let Err(alert) = session.process_new_packets() {
                return Poll::Ready(Some(io::Error::new(io::ErrorKind::InvalidData, alert)));
            }
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// Adapts an `AsyncRead` to `io::Read`, for rustls.
struct NonBlockingReader<'a, 'b, S> {
    stream: &'a mut S,
    context: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> io::Read for NonBlockingReader<'_, '_, S> {
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
        self.write_or_alert(context, |inner, context| inner.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_or_alert(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write_or_alert(context, |inner, context| inner.poll_write_vectored(context, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}
