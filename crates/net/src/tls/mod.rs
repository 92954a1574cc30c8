//! TLS: settings, verification of certificates, and readable errors.

mod error;
mod expiry;
mod pem_files;
mod roots;
mod server_end_point;
mod settings;
mod stream;
mod verifier;

pub use error::cause;
pub(crate) use expiry::not_after;
pub use pem_files::{PemFile, PemFiles};
pub use settings::TlsSettings;
pub use stream::TlsStream;

/// How much of a server's certificate is verified.
///
/// The signature of the handshake is always verified. It proves that the server has the private key of its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// The certificate has a trusted issuer and is valid for the host.
    Full,
    /// The certificate has a trusted issuer and may be for any host, as with `verify-ca` in libpq.
    Chain,
    /// Any certificate is accepted, which does not protect against an active attacker.
    None,
}
