//! A session with Vault: login, the renewal of its own token, its state, and the secrets it may read.
