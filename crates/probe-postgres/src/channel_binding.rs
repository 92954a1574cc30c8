//! Passes the channel binding of an encrypted stream to the client library.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

/// The TLS of a session, which the module `server` has negotiated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Negotiated {
    /// The channel binding `tls-server-end-point`, if the certificate has one.
    pub(crate) server_end_point: Option<Vec<u8>>,
}

/// An encrypted stream with its channel binding.
pub(crate) struct BoundStream<S> {
    inner: S,
    negotiated: Negotiated,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsConnect<S> for Negotiated {
    type Stream = BoundStream<S>;
    type Error = Infallible;
    type Future = Ready<Result<BoundStream<S>, Infallible>>;

    fn connect(self, inner: S) -> Self::Future {
        ready(Ok(BoundStream { inner, negotiated: self }))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream for BoundStream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        let binding = self.negotiated.server_end_point.clone();
        binding.map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
