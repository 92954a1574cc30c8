//! The TLS of the floor, with the library of the gateway.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::error::{Context, Result};

/// A client that trusts the authority in a file.
#[derive(Clone)]
pub(crate) struct TlsClient {
    ca: PathBuf,
    config: Arc<ClientConfig>,
}

impl TlsClient {
    pub(crate) fn new(ca: PathBuf) -> Result<Self> {
        let file = ca.display().to_string();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&ca).context(&file)?).context(&file)?;
        let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .context("configure TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // As in the gateway, since a server sends no certificate in a resumed session.
        config.resumption = Resumption::disabled();
        Ok(Self { ca, config: config.into() })
    }

    /// Returns the gateway's setting for the same authority.
    pub(crate) fn setting(&self) -> String {
        format!("ca = \"${{file:{}}}\"\n", self.ca.display())
    }

    /// Begins a session on a new connection; the handshake takes place when it is first used.
    pub(crate) fn session(
        &self,
        stream: TcpStream,
        server: SocketAddr,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::IpAddress(server.ip().into());
        let session = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, stream))
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ca.display().to_string())
    }
}
