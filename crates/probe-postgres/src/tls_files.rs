//! The certificates that `sslrootcert`, `sslcert` and `sslkey` of the URL name by their paths.

use std::path::{Path, PathBuf};

use net::TlsSettings;
use probe::{Cause, Secret, read_file};

/// The paths. They are read for each connection, as by libpq, so that a renewed certificate is used at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) private_key: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether no path is given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files, and adds them to `settings`.
    pub(crate) async fn read(&self, settings: &TlsSettings) -> Result<TlsSettings, Cause> {
        let authorities = read(self.authorities.as_deref(), "sslrootcert").await?;
        let certificate = read(self.certificate.as_deref(), "sslcert").await?;
        let private_key = read(self.private_key.as_deref(), "sslkey").await?.map(Secret::new);
        settings.with_pem(authorities.as_deref(), certificate.as_deref().zip(private_key.as_ref()))
    }
}

async fn read(path: Option<&Path>, parameter: &str) -> Result<Option<String>, Cause> {
    let Some(path) = path else { return Ok(None) };
    let text = read_file(path).await;
    text.map(Some).map_err(|cause| Cause::msg(format!("{parameter}: {}", cause.text())))
}
