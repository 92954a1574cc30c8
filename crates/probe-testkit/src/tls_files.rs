//! Certificates on disk, for a private server with TLS.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::{Authority, Identity};

/// An authority, a server's identity as files, and a client identity, all from one authority.
///
/// The files exist for as long as this value.
#[derive(Debug)]
pub struct TlsFiles {
    /// The authority that issued both identities.
    pub authority: Authority,
    /// An identity of the user `health-gateway`.
    pub client: Identity,
    folder: TempDir,
}

impl TlsFiles {
    /// Creates the files for a server on `host`, a name or an address.
    pub fn new(host: &str) -> Self {
        let authority = Authority::new("authority");
        let server = authority.issue(host);
        let client = authority.issue_for_user("health-gateway");
        let files = Self {
            authority,
            client,
            folder: tempfile::tempdir().expect("a temporary folder can be created"),
        };
        for (path, text) in [
            (files.ca(), &files.authority.pem),
            (files.certificate(), &server.certificate),
            (files.private_key(), &server.key),
        ] {
            fs::write(path, text).expect("a file can be written to a temporary folder");
        }
        files
    }

    /// The settings of a Redis server that speaks TLS on `port` and demands no client certificate.
    pub fn redis_settings(&self, port: u16) -> [String; 5] {
        [
            format!("tls-port {port}"),
            format!("tls-cert-file {}", self.certificate().display()),
            format!("tls-key-file {}", self.private_key().display()),
            format!("tls-ca-cert-file {}", self.ca().display()),
            "tls-auth-clients no".to_owned(),
        ]
    }

    /// The file with the authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// The file with the server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate")
    }

    /// The file with the server's private key.
    pub fn private_key(&self) -> PathBuf {
        self.folder.path().join("private_key")
    }
}
