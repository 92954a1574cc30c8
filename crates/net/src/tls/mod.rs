//! TLS: the settings of a section, verification, and readable errors.

mod error;
mod roots;
mod settings;
mod stream;
mod verifier;

pub use error::cause;
pub use settings::TlsSettings;
pub use stream::TlsStream;

/// How much of a server's certificate is verified.
///
/// The signature of the handshake is always verified: the server owns the key of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// The certificate has a trusted issuer and is valid for the host.
    Full,
    /// The certificate has a trusted issuer and may be for any host: `verify-ca` of libpq.
    Chain,
    /// Any certificate is accepted: this does not protect from an active attacker.
    None,
}
