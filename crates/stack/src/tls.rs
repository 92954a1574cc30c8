//! The TLS files of private servers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};

/// A private server's TLS settings, as PEM texts.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate.
    pub certificate: String,
    /// Its private key.
    pub private_key: String,
    /// Requires client certificates that this authority has issued.
    pub client_ca: Option<String>,
}

/// The paths of the written [`Tls`] settings.
pub(crate) struct TlsPaths {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
    pub(crate) client_ca: Option<PathBuf>,
}

impl Tls {
    /// Writes the settings into a server's folder, where they last as long as its data.
    pub(crate) fn write(&self, folder: &Path) -> Result<TlsPaths> {
        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            fs::write(&path, pem).context(|| format!("write {}", path.display()))?;
            Ok(path)
        };
        Ok(TlsPaths {
            certificate: write("server.pem", &self.certificate)?,
            private_key: write("server.key", &self.private_key)?,
            client_ca: self.client_ca.as_ref().map(|ca| write("client-ca.pem", ca)).transpose()?,
        })
    }
}
