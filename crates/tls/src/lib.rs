//! How every client of the gateway verifies a server and shows its own certificate: one rustls configuration, read from the same three settings everywhere.
//!
//! The provider (aws-lc-rs) is passed explicitly; no process-wide default is set or read.

mod connect;
mod error;
mod roots;
mod settings;
mod stream;
mod verifier;

pub use connect::connect;
pub use error::cause;
pub use settings::Settings;
pub use stream::TlsStream;

/// How much of a server's certificate is verified.
///
/// The handshake's signature is always verified: the server holds the key of the certificate that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// The certificate is issued by somebody we trust, and for the host that we meant.
    Full,
    /// The certificate is issued by somebody we trust, for any host: what libpq calls `verify-ca`.
    Chain,
    /// Any certificate will do: encrypted, but not protected from who sits in between.
    None,
}
