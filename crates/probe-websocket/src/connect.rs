//! Where the server is, and the way to it up to the handshake.

use std::io;

use probe::config::{Fields, Url};
use probe::{Failure, Steps};
use tokio::net::TcpStream;

/// A server's address, and how to speak TLS with it.
pub(crate) struct Server {
    host: String,
    port: u16,
    target: String,
    tls: Option<tls::Settings>,
}

impl Server {
    /// Reads `ca`, `certificate` and `private_key`, which belong to a `url` with TLS only.
    pub(crate) fn read(fields: &mut Fields<'_>, url: Option<&Url>) -> Option<Self> {
        let settings = tls::Settings::read(fields);
        let (url, settings) = (url?, settings?);
        let secure = url.scheme() == "wss";
        settings.expect_use(fields, secure, "a `url` that begins with `wss`")?;
        // Both schemes have a port of their own, so this is never in use.
        let port = url.port().unwrap_or_default();
        let tls = secure.then_some(settings);
        Some(Self { host: url.host().to_owned(), port, target: url.authority(port), tls })
    }

    /// `host:port`.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// How to speak TLS with it, if at all.
    pub(crate) fn tls(&self) -> Option<&tls::Settings> {
        self.tls.as_ref()
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, steps: &Steps) -> Result<TcpStream, Failure> {
        steps.run("connect", self.open()).await
    }

    /// Begins TLS on a connection.
    pub(crate) async fn secure(
        &self,
        steps: &Steps,
        settings: &tls::Settings,
        stream: TcpStream,
    ) -> Result<tls::TlsStream<TcpStream>, Failure> {
        let secured = async {
            let config = settings.client_config(tls::Verification::Full)?;
            tls::connect(config, &self.host, stream).await
        };
        steps.run("tls", secured).await
    }

    async fn open(&self) -> io::Result<TcpStream> {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        // This tries every address that the name resolves to, and tells the last one's error.
        let stream = TcpStream::connect((bare, self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
