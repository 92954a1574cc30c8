//! Opens connections to servers: resolve, connect, TLS.
//!
//! Most protocols use [`connect`]. A protocol that negotiates TLS first uses [`connect_tcp`] and [`start_tls`].
//! The rustls provider (aws-lc-rs) is passed explicitly, so no process-wide default is set or read.

mod connect;
mod first_answer;
mod resolve;
mod stream;
mod tls;

pub use connect::{connect, connect_tcp, connect_unix, start_tls};
pub use first_answer::first_answer;
pub use stream::Stream;
pub use tls::{PemFile, PemFiles, TlsSettings, TlsStream, Verification, cause};
