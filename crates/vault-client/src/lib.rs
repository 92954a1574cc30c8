//! A session with Vault or OpenBao: login, token renewal, server health, and secrets.
//!
//! Everything is configured explicitly; the `VAULT_*` environment variables are not read.

mod api;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod grants;
mod health;
mod kv;
mod login;
mod renewer;
mod session;
mod settings;
mod shared_reads;
mod stale_secrets;
mod token;
mod token_manager;

pub use health::Health;
pub use session::Session;
pub use shared_reads::Values;
pub use token::TokenState;
