//! Keep-alive connections of asynchronous callers.

use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends requests on one connection, one after the other.
pub(crate) type Sender = SendRequest<Empty<Bytes>>;

/// Opens a connection to `address`.
pub(crate) async fn connect(address: SocketAddr) -> Result<Sender, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // An error of the connection is one of the request as well.
    tokio::spawn(async { drop(connection.await) });
    Ok(sender)
}
