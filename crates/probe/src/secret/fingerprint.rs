//! A digest that distinguishes secrets without keeping them.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Secret;

/// The digest of a secret: a key of shared connections, and what remains of credentials that are only compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The digest of `secret`.
    pub fn of(secret: &Secret) -> Self {
        Self(Sha256::digest(secret.expose()).into())
    }
}

/// Prints nothing of the digest, since a weak secret can be guessed from it.
impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
