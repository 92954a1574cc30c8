//! Asks Vault whether it is initialized, unsealed and active, and whether our own token is valid.
