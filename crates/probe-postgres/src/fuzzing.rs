//! Entry points for the fuzzer: what a server sends, in place of a socket.

use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use probe::Steps;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Config;

use crate::endpoint::Endpoint;
use crate::server;
use crate::session::{Peer, Session};
use crate::stream::{LimitedStream, Stream};

/// Requests TLS, logs in, and queries the state of a server that sends `bytes`, and returns how that ends.
pub async fn session(bytes: &[u8]) -> String {
    let mut stream: Box<dyn Stream> = Box::new(Scripted(bytes.to_vec().into()));
    let negotiated = server::request_tls(&mut stream).await;
    let negotiated = negotiated.map_err(|cause| cause.text().to_owned());
    let mut config = Config::new();
    config.user("user").password("password").ssl_mode(tokio_postgres::config::SslMode::Disable);
    let peer = Peer { address: Endpoint::Unix(PathBuf::new()), tls: None };
    let steps = Steps::new();
    let ended = match Session::log_in(&config, LimitedStream::new(stream), peer).await {
        Ok(session) => format!("{:?} {:?}", session.product(), session.query_state(&steps).await),
        Err(failure) => failure.render(""),
    };
    format!("{negotiated:?} {ended}")
}

/// Sends the rest of its bytes a few at a time, and discards what it receives.
struct Scripted(std::collections::VecDeque<u8>);

impl AsyncRead for Scripted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let length = self.0.len().min(buffer.remaining()).min(1024);
        let bytes: Vec<_> = self.0.drain(..length).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
