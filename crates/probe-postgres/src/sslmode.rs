//! libpq's `sslmode`: encryption, and verification of the server's certificate.

use net::{TlsSettings, Verification};
use probe::config::Fields;

/// The modes of libpq, without `allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Plain text.
    Disable,
    /// TLS without verification, or plain text if TLS fails. This is the default, as in libpq.
    Prefer,
    /// TLS. The chain is verified only if `ca` is set.
    Require,
    /// TLS. The certificate must have a trusted issuer.
    VerifyCa,
    /// TLS. The certificate must have a trusted issuer and be valid for the host.
    VerifyFull,
}

impl SslMode {
    /// The mode with this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            // `no-verify` is node-postgres' name.
            "require" | "no-verify" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => return None,
        })
    }

    /// How much of the server's certificate is verified.
    pub(crate) fn verification(self, tls: &TlsSettings) -> Verification {
        match self {
            Self::VerifyFull => Verification::Full,
            Self::VerifyCa => Verification::Chain,
            Self::Require if tls.has_ca() => Verification::Chain,
            Self::Require | Self::Prefer | Self::Disable => Verification::None,
        }
    }

    /// Records an error for settings that suggest protection that this mode does not provide.
    pub(crate) fn validate(self, fields: &mut Fields<'_>) -> bool {
        let unused: &[&str] = match self {
            Self::Disable => &["ca", "certificate", "min_certificate_validity"],
            Self::Prefer => &["ca", "min_certificate_validity"],
            _ => &[],
        };
        let given = unused.iter().find(|key| fields.has(key));
        if let Some(key) = given {
            let message = format!(
                "with `{key}`, expected `sslmode=require`, `verify-ca` or `verify-full` in the URL: without it the connection may be plain text"
            );
            fields.error("url", message);
        }
        given.is_none()
    }
}
