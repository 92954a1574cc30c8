//! The server of a section: its address and its TLS settings.

use net::TlsSettings;
use probe::config::{Fields, Url};
use probe::{Failure, Steps};

/// The address of a server, and its TLS settings if its URL is `wss`.
pub(crate) struct Server {
    host: String,
    port: u16,
    target: String,
    tls: Option<TlsSettings>,
}

impl Server {
    /// Reads the settings of TLS, which need a `wss` URL.
    pub(crate) fn read(fields: &mut Fields<'_>, url: Option<&Url>) -> Option<Self> {
        let tls = TlsSettings::read(fields);
        let (url, tls) = (url?, tls?);
        let encrypted = url.scheme() == "wss";
        tls.expect_use(fields, encrypted, "a `url` that begins with `wss`")?;
        // Both schemes have a default port, so `port` is never `None`.
        let port = url.port().unwrap_or_default();
        let tls = encrypted.then_some(tls);
        Some(Self { host: url.host().to_owned(), port, target: url.authority(port), tls })
    }

    /// The target, as `host:port`.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self, steps: &Steps) -> Result<net::Stream, Failure> {
        net::connect(steps, &self.host, self.port, self.tls.as_ref()).await
    }
}
