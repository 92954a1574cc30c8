//! An encrypted connection that still tells why the server refused us when it is found reset.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client;

/// A connection after its handshake.
///
/// A server that refuses our certificate says so and hangs up, which may come before we have written anything. Writing then fails with a reset, though the reason lies there to be read; it is given in place of the reset.
#[derive(Debug)]
pub struct TlsStream<S>(pub(crate) client::TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// The server's reason if `written` failed and one has arrived, else `written`.
    fn explained<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = written else { return written };
        let (stream, session) = self.0.get_mut();
        let mut arrived = Arrived { stream, context };
        // It ends at the latest with what has arrived: then nothing more comes, or reading fails too.
        while let Ok(1..) = session.read_tls(&mut arrived) {
            if let Err(reason) = session.process_new_packets() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, reason)));
            }
        }
        Poll::Ready(Err(error))
    }
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
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write(context, bytes);
        self.explained(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.0).poll_flush(context);
        self.explained(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.0).poll_write_vectored(context, parts);
        self.explained(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
