//! The handshake on a connection that is open already.

use std::sync::Arc;

use probe::Cause;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::TlsStream;

/// Wraps `stream` into TLS with the server `host`: a name or an IP address, IPv6 with or without its brackets.
///
/// A server may refuse our client certificate only after this: in TLS 1.3 that shows at the first read or write, and [`crate::cause`] says it in words.
pub async fn connect<S>(
    config: Arc<ClientConfig>,
    host: &str,
    stream: S,
) -> Result<TlsStream<S>, Cause>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = ServerName::try_from(bare.to_owned())
        .map_err(|_| Cause::msg("the host is neither a DNS name nor an IP address"))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(crate::cause)?;
    Ok(TlsStream::new(stream))
}
