//! A session with Vault (or OpenBao): login, the renewal of its own token, its state, and the secrets it may read.
//!
//! Everything is set explicitly; none of the `VAULT_*` variables of the environment is read.

mod api;
mod grants;
mod health;
mod keeper;
mod kv;
mod login;
mod session;
mod settings;
mod token;
mod tokens;

pub use health::Health;
pub use session::Session;
pub use token::TokenState;
