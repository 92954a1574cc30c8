//! Certificates that a URL names by the paths of their files.

use std::path::PathBuf;

use probe::{Cause, Secret, read_file};

use super::TlsSettings;

/// The files. They are read for each connection, so that a renewed certificate is used at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PemFiles {
    /// Authorities to trust instead of the system's.
    pub authorities: Option<PemFile>,
    /// The client's own certificate.
    pub certificate: Option<PemFile>,
    /// Its private key.
    pub private_key: Option<PemFile>,
}

/// A file, and the parameter of the URL that names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    parameter: &'static str,
    path: PathBuf,
}

impl PemFile {
    /// The file with this path, or `None` if that is empty.
    pub fn new(parameter: &'static str, path: &str) -> Option<Self> {
        (!path.is_empty()).then(|| Self { parameter, path: path.into() })
    }

    async fn read(&self) -> Result<String, Cause> {
        let text = read_file(&self.path).await;
        text.map_err(|cause| Cause::msg(format!("{}: {}", self.parameter, cause.text())))
    }
}

impl PemFiles {
    /// Whether no file is given.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a certificate is given without its key, or a key without its certificate.
    pub fn is_incomplete(&self) -> bool {
        self.certificate.is_some() != self.private_key.is_some()
    }

    /// Reads the files, and adds their content to `settings`.
    pub async fn read(&self, settings: &TlsSettings) -> Result<TlsSettings, Cause> {
        if self.is_empty() {
            return Ok(settings.clone());
        }
        let authorities = read(self.authorities.as_ref()).await?;
        let certificate = read(self.certificate.as_ref()).await?;
        let private_key = read(self.private_key.as_ref()).await?.map(Secret::new);
        settings.with_pem(authorities.as_deref(), certificate.as_deref().zip(private_key.as_ref()))
    }
}

async fn read(file: Option<&PemFile>) -> Result<Option<String>, Cause> {
    match file {
        Some(file) => file.read().await.map(Some),
        None => Ok(None),
    }
}
