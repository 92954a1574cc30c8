//! What libpq calls `sslmode`: whether to encrypt, and how much of the server's certificate to verify.

use probe::config::Fields;
use tls::{Settings, Verification};
use tokio_postgres::config;

/// As in libpq, without its `allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SslMode {
    /// Plain text.
    Disable,
    /// TLS without verification if the server has it and it works out, else plain text; the default, as in libpq.
    Prefer,
    /// TLS; the chain is verified only if `ca` is set.
    Require,
    /// TLS, with a certificate of an authority that is trusted.
    VerifyCa,
    /// TLS, with such a certificate for this very host.
    VerifyFull,
}

impl SslMode {
    /// What the client library knows by itself.
    pub(crate) fn known(mode: config::SslMode) -> Option<Self> {
        match mode {
            config::SslMode::Disable => Some(Self::Disable),
            config::SslMode::Prefer => Some(Self::Prefer),
            config::SslMode::Require => Some(Self::Require),
            _ => None,
        }
    }

    /// How much of the server's certificate is verified, if there is TLS.
    pub(crate) fn verification(self, tls: &Settings) -> Verification {
        match self {
            Self::VerifyFull => Verification::Full,
            Self::VerifyCa => Verification::Chain,
            Self::Require if tls.has_ca() => Verification::Chain,
            Self::Require | Self::Prefer | Self::Disable => Verification::None,
        }
    }

    /// Notes settings that would promise a protection which this mode does not give.
    pub(crate) fn fits(self, fields: &mut Fields<'_>) -> bool {
        let surplus: &[&str] = match self {
            Self::Disable => &["ca", "certificate"],
            Self::Prefer => &["ca"],
            _ => &[],
        };
        let written = surplus.iter().find(|key| fields.has(key));
        if let Some(key) = written {
            let message = format!(
                "with `{key}`, expected `sslmode=require`, `verify-ca` or `verify-full` in the URL: without it the connection may be plain text"
            );
            fields.error("url", message);
        }
        written.is_none()
    }
}
